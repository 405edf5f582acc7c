// The bar that chooses rows: search, a condition in SQL, values, order and sample.

import { get } from "./api.js";
import { h, number, visible } from "./dom.js";
import { columns, go, query, table } from "./state.js";

const FACETS = { results: ["finish_reason", "review", "label", "verdict"], errors: ["kind", "stage"], documents: [] };
const NONE = "\u0000none";
let typing;

function later(act) {
  clearTimeout(typing);
  typing = setTimeout(act, 300);
}

function facet(name, now) {
  const chosen = name in now.equal ? (now.equal[name] ?? NONE) : "";
  const select = h("select", { id: `facet-${name}`, change: () => choose(name, select.value, now) }, h("option", { value: "" }, "any"));
  if (chosen) select.append(h("option", { value: chosen, selected: true }, chosen === NONE ? "none" : visible(chosen)));
  // Counted only when somebody looks: on a large output each count reads the whole column.
  select.addEventListener("focus", () => offer(select, name, now, chosen), { once: true });
  select.addEventListener("pointerdown", () => offer(select, name, now, chosen), { once: true });
  return h("label", {}, name.replace("_", " "), select);
}

async function offer(select, name, now, chosen) {
  if (select.dataset.offered) return;
  select.dataset.offered = "1";
  const { [name]: _, ...others } = now.equal;
  const found = await get("values", { ...query({ ...now, equal: others }), column: name });
  const options = found.map(({ value, rows }) => {
    const key = value ?? NONE;
    return h("option", { value: key, selected: key === chosen }, `${value === null ? "none" : visible(value)} (${number(rows)})`);
  });
  select.replaceChildren(h("option", { value: "" }, "any"), ...options);
  select.value = chosen;
}

function choose(name, value, now) {
  const equal = { ...now.equal };
  delete equal[name];
  if (value !== "") equal[name] = value === NONE ? null : value;
  go({ equal, id: "" });
}

/** Draws the bar, unless the person is typing in it. */
export function filters(form, now) {
  const active = document.activeElement;
  if (form.contains(active) && active.tagName === "INPUT" && form.dataset.page === `${now.page} ${now.output}`) return;
  const focused = form.contains(active) ? active.id : null;
  form.dataset.page = `${now.page} ${now.output}`;
  const names = columns(now).map((column) => column.name);
  const search = h("input", {
    type: "search", id: "search", value: now.search, placeholder: "in ids and answers", autocomplete: "off",
    input: () => later(() => go({ search: search.value, id: "" }, { replace: true })),
  });
  const where = h("input", {
    id: "where", value: now.where, placeholder: "completion_tokens > 100", autocomplete: "off", spellcheck: "false",
    title: `Columns: ${names.join(", ")}`, change: () => go({ where: where.value, id: "" }),
  });
  const sort = h("select", { id: "sort", change: () => go({ sort: sort.value, id: "" }) },
    h("option", { value: "" }, "as in the files"),
    ...names.map((name) => h("option", { value: name, selected: name === now.sort }, visible(name))));
  const direction = h("button", {
    type: "button", id: "direction", "aria-label": "Largest first", "aria-pressed": String(now.descending === "1"),
    click: () => go({ descending: now.descending ? "" : "1", id: "" }),
  }, now.descending ? "↓" : "↑");
  form.replaceChildren(
    h("label", {}, "Search", search),
    h("details", { open: matchMedia("(min-width: 40.01rem)").matches || isFiltered(now) }, h("summary", {}, "More filters"), h("div", {},
    h("label", { class: "where" }, "Where (SQL)", where),
    ...FACETS[table(now)].filter((name) => names.includes(name)).map((name) => facet(name, now)),
    h("label", {}, "Sort", sort),
    now.sort ? direction : "",
    now.sample ? h("button", { type: "button", click: () => go({ sample: "", seed: "", id: "" }) }, `Sample of ${now.sample}, seed ${now.seed || 0} ✕`) : "",
    isFiltered(now) ? h("button", { type: "button", id: "clear", click: () => go(CLEAR) }, "Clear") : "")),
  );
  form.onsubmit = (event) => {
    event.preventDefault();
    clearTimeout(typing);
    go({ search: search.value, where: where.value, id: "" });
  };
  if (focused) document.getElementById(focused)?.focus();
}

const CLEAR = { search: "", where: "", equal: {}, sort: "", descending: "", sample: "", seed: "", id: "" };

export function isFiltered(now) {
  return Boolean(now.search || now.where || now.sample || Object.keys(now.equal).length);
}
