// The runs that wrote this output.

import { h, number, visible } from "./dom.js";
import { output } from "./state.js";

const TITLES = [
  "Run",
  "Status",
  "Task",
  "Model",
  "Started",
  "Seconds",
  "Results",
  "Errors",
  "Prompt",
];

export async function runs(main, now) {
  const rows = output(now).runs.map((run) => [
    run.run_id,
    run.status,
    run.task,
    run.model,
    run.started,
    run.seconds,
    run.counts?.results,
    run.counts?.errors,
    run.prompt,
  ]);
  const notices = output(now).runs.flatMap((run) => run.notices ?? []);
  main.replaceChildren(
    h("h2", {}, "Runs"),
    h("p", { class: "small muted" }, h("bdi", {}, visible(output(now).uri))),
    h(
      "div",
      { class: "scrolls", tabindex: "0", role: "region", "aria-label": "Runs" },
      h(
        "table",
        {},
        h("thead", {}, h("tr", {}, ...TITLES.map((title) => h("th", { scope: "col" }, title)))),
        h(
          "tbody",
          {},
          ...rows.map((values) =>
            h(
              "tr",
              {},
              ...values.map((value) =>
                h(
                  "td",
                  {},
                  h(
                    "bdi",
                    {},
                    value === null || value === undefined
                      ? ""
                      : visible(typeof value === "number" ? number(value) : value),
                  ),
                ),
              ),
            ),
          ),
        ),
      ),
    ),
    ...(notices.length
      ? [
          h("h3", {}, "Notices"),
          h("ul", {}, ...notices.map((notice) => h("li", {}, visible(notice)))),
        ]
      : []),
  );
}
