// Histograms of numbers and lengths, and counts of values. A bar is a button that chooses its rows.

import { get } from "./api.js";
import { h, number, visible } from "./dom.js";
import { columns, go, query } from "./state.js";

const FIRST = [
  "completion_tokens",
  "score",
  "mean_logprob",
  "finish_reason",
  "label",
  "verdict",
  "prompt_tokens",
  "num_tiles",
  "text_layer_similarity",
];
const COUNTED = new Set(["finish_reason", "label", "verdict", "model", "review", "run_id"]);
const SHOWN = 6;

function offered(now) {
  return columns(now).filter(
    (column) => ["number", "text", "boxes"].includes(column.kind) || column.type.endsWith("[]"),
  );
}

function first(now) {
  const names = offered(now).map((column) => column.name);
  const answers = columns(now)
    .filter((column) => column.answer && column.kind !== "other")
    .map((column) => column.name);
  return [...new Set([...FIRST.filter((name) => names.includes(name)), ...answers])].slice(
    0,
    SHOWN,
  );
}

export async function charts(main, now) {
  const names = now.column ? now.column.split(",") : first(now);
  const add = h(
    "select",
    {
      id: "add-chart",
      change: () => go({ column: [...new Set([add.value, ...names])].join(",") }),
    },
    h("option", { value: "" }, "choose a column"),
    ...offered(now).map((column) => h("option", { value: column.name }, visible(column.name))),
  );
  const box = h("div", { class: "charts" });
  main.replaceChildren(
    h("div", { class: "row between" }, h("h2", {}, "Charts"), h("label", {}, "Add", add)),
    box,
  );
  for (const name of names) {
    const chart = h(
      "figure",
      {},
      h("figcaption", {}, h("h3", {}, visible(name)), h("span", { class: "muted" }, "Counting …")),
    );
    box.append(chart);
    try {
      if (COUNTED.has(name)) await counts(chart, name, now);
      else await histogram(chart, name, now);
    } catch (error) {
      chart.append(h("p", { class: "muted" }, error.message));
    }
    if (!chart.isConnected) return;
  }
}

async function histogram(chart, name, now) {
  const told = await get("histogram", { ...query(now), column: name });
  const kind = columns(now).find((column) => column.name === name)?.kind;
  const title = kind === "number" ? visible(name) : `Length of ${visible(name)}`;
  const most = Math.max(1, ...told.bins.map((bin) => bin.rows));
  const without = told.without ? `, ${number(told.without)} without a value` : "";
  const summary = told.rows
    ? `${number(told.rows)} rows${without}. Median ${number(told.q50)}, mean ${number(told.mean)}, middle half ${number(told.q25)} to ${number(told.q75)}.`
    : `No row has a value${without}.`;
  const bars = told.bins.map((bin, index) => {
    const last = index === told.bins.length - 1;
    const bar = h("i", {});
    bar.style.height = `${(100 * bin.rows) / most}%`;
    const range = `${number(bin.start)} to ${last ? number(told.greatest) : `below ${number(bin.end)}`}: ${number(bin.rows)} rows`;
    const condition = `${told.expression} >= ${bin.start} AND ${told.expression} ${last ? "<=" : "<"} ${last ? told.greatest : bin.end}`;
    return h(
      "button",
      {
        type: "button",
        "aria-label": `${range}. Show them`,
        title: range,
        click: () => choose(condition, now),
      },
      bar,
    );
  });
  chart.replaceChildren(
    h("figcaption", {}, h("h3", {}, title), h("span", { class: "small muted" }, summary)),
    h("div", { class: "bars", role: "group", "aria-label": `Histogram of ${title}` }, ...bars),
    told.rows
      ? h(
          "div",
          { class: "row between small muted" },
          h("span", {}, number(told.least)),
          h("span", {}, number(told.greatest)),
        )
      : "",
  );
}

function choose(condition, now) {
  go({ page: "units", where: now.where ? `(${now.where}) AND ${condition}` : condition });
}

async function counts(chart, name, now) {
  const found = await get("values", { ...query(now), column: name });
  const most = Math.max(1, ...found.map((one) => one.rows));
  chart.replaceChildren(
    h("figcaption", {}, h("h3", {}, visible(name))),
    h(
      "ul",
      { class: "counts" },
      ...found.slice(0, 12).map(({ value, rows }) => {
        const bar = h("i", {});
        bar.style.width = `${(100 * rows) / most}%`;
        const equal = { ...now.equal, [name]: value };
        return h(
          "li",
          {},
          h(
            "button",
            { type: "button", click: () => go({ page: "units", equal }) },
            value === null ? "none" : visible(value),
            bar,
            number(rows),
          ),
        );
      }),
    ),
  );
}
