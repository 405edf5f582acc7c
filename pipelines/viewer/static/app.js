// The page: header, filters, and which part is shown.

import { get, post } from "./api.js";
import { charts } from "./charts.js";
import { compare } from "./compare.js";
import { h, number, say, visible, warn } from "./dom.js";
import { filters } from "./filters.js";
import { keyboard, keysDialog } from "./keys.js";
import { list, refreshRow } from "./list.js";
import { review } from "./review.js";
import { runs } from "./runs.js";
import { PAGES, about, address, go, learn, output, state, table } from "./state.js";
import { closeUnit, showUnit } from "./unit.js";

const SHOWN = { units: list, errors: list, documents: list, compare, charts, review, runs };
const FILTERED = new Set(["units", "errors", "documents", "charts", "review"]);
const main = document.getElementById("main");
let seen = null;

function has(page, there) {
  if (page === "compare") return about.outputs.length > 1;
  if (page in { units: 1, errors: 1, documents: 1 }) return Boolean(there.tables[table({ page })]);
  return page === "runs" ? there.runs.length > 0 : Boolean(there.tables.results);
}

function header(now) {
  const there = output(now);
  document.title = `${visible(there.name)} – ${PAGES[now.page]}`;
  document
    .getElementById("output")
    .replaceChildren(
      ...about.outputs.map((one, index) =>
        h(
          "option",
          { value: index, selected: String(index) === now.output, title: visible(one.uri) },
          visible(one.name),
        ),
      ),
    );
  const links = Object.entries(PAGES)
    .filter(([page]) => has(page, there))
    .map(([page, title]) => {
      const rows =
        there.tables[{ units: "results", errors: "errors", documents: "documents" }[page]]?.rows;
      // What was chosen goes along to pages over the same table; another table has other columns.
      const kept =
        table({ page }) === table(now)
          ? {}
          : { equal: {}, where: "", sort: "", descending: "", sample: "", seed: "" };
      const href = address({ page, ...kept, column: "", id: "" });
      return h(
        "a",
        { href, "aria-current": page === now.page ? "page" : null },
        title,
        rows === undefined ? "" : ` ${number(rows)}`,
      );
    });
  document.getElementById("pages").replaceChildren(...links);
}

/** Shows what the address says; draws again only the parts that changed. */
async function show() {
  const now = state();
  if (!has(now.page, output(now)))
    return go({ page: output(now).tables.results ? "units" : "errors" }, { replace: true });
  const { id: _, ...rest } = now;
  const wanted = JSON.stringify(rest);
  header(now);
  if (wanted !== seen) {
    seen = wanted;
    warn(null);
    const form = document.getElementById("filters");
    form.hidden = !FILTERED.has(now.page);
    if (!form.hidden) filters(form, now);
    main.setAttribute("aria-label", PAGES[now.page]);
    try {
      await SHOWN[now.page](main, now);
    } catch (error) {
      if (error.name !== "AbortError") warn(error.message);
    }
  }
  const current = state(); // something else may have been chosen meanwhile
  if (current.page !== now.page) return;
  if (current.id && current.page !== "compare") await showUnit(current, refreshRow);
  else closeUnit();
}

function listen() {
  document
    .getElementById("output")
    .addEventListener("change", (event) => go({ output: event.target.value, id: "" }));
  document.getElementById("reload").addEventListener("click", async () => {
    learn(await post("reload"));
    seen = null;
    await show();
    say(`${number(output().tables[table()]?.rows ?? 0)} ${table()} now`);
  });
  document.getElementById("help").addEventListener("click", () => keysDialog().showModal());
  window.addEventListener("popstate", show);
  window.addEventListener("state", show);
  window.addEventListener("again", () => {
    seen = null;
    show();
  });
  window.addEventListener("unhandledrejection", (event) =>
    warn(event.reason?.message ?? String(event.reason)),
  );
  keyboard();
}

learn(await get("outputs"));
if (!about.outputs.length) main.append(h("p", {}, "There is no output."));
else {
  listen();
  await show();
}
