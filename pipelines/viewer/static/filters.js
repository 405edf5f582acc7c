// The bar that chooses rows: search, a condition in SQL, values, order and sample.

import { get } from "./api.js";
import { h, number, visible } from "./dom.js";
import { columns, go, NO_FILTER, query, state, table } from "./state.js";

const FACETS = {
  results: ["finish_reason", "review", "label", "verdict"],
  errors: ["kind", "stage"],
  documents: [],
};
const NONE = "\u0000none";
let typing;

function later(act) {
  clearTimeout(typing);
  typing = setTimeout(act, 300);
}

function facet(name) {
  const select = h(
    "select",
    { id: `facet-${name}`, change: () => choose(name, select.value) },
    h("option", { value: "" }, "any"),
  );
  // Counted only when somebody looks: on a large output each count reads the whole column.
  select.addEventListener("focus", () => offer(select, name));
  select.addEventListener("pointerdown", () => offer(select, name));
  return h("label", {}, name.replace("_", " "), select);
}

async function offer(select, name) {
  const now = state();
  const { [name]: _, ...others } = now.equal;
  const asked = { ...query({ ...now, equal: others }), column: name };
  if (select.dataset.offered === JSON.stringify(asked)) return;
  select.dataset.offered = JSON.stringify(asked);
  const found = await get("values", asked);
  const options = found.map(({ value, rows }) =>
    h(
      "option",
      { value: value ?? NONE },
      `${value === null ? "none" : visible(value)} (${number(rows)})`,
    ),
  );
  const { value } = select;
  select.replaceChildren(h("option", { value: "" }, "any"), ...options);
  select.value = value;
}

function choose(name, value) {
  const equal = { ...state().equal };
  delete equal[name];
  if (value !== "") equal[name] = value === NONE ? null : value;
  go({ equal, id: "" });
}

/** Shows what is chosen. The controls stay the same ones, so that nobody is disturbed while they type. */
export function filters(form, now) {
  const wanted = `${now.page} ${now.output}`;
  if (form.dataset.page !== wanted) draw(form, now);
  form.dataset.page = wanted;
  const control = (id) => form.querySelector(`#${id}`);
  for (const name of ["search", "where", "sort"])
    if (control(name) !== document.activeElement) control(name).value = now[name];
  for (const select of form.querySelectorAll("select[id^=facet-]")) show(select, now.equal);
  control("direction").hidden = !now.sort;
  control("direction").setAttribute("aria-pressed", String(now.descending === "1"));
  control("direction").textContent = now.descending === "1" ? "↓" : "↑";
  control("sample").hidden = !now.sample;
  control("sample").textContent = `Sample of ${now.sample}, seed ${now.seed || 0} ✕`;
  control("clear").hidden = !isFiltered(now);
}

function show(select, equal) {
  const name = select.id.slice("facet-".length);
  const chosen = name in equal ? (equal[name] ?? NONE) : "";
  if (![...select.options].some((option) => option.value === chosen))
    select.append(h("option", { value: chosen }, chosen === NONE ? "none" : visible(chosen)));
  select.value = chosen;
}

function draw(form, now) {
  const names = columns(now).map((column) => column.name);
  const search = h("input", {
    type: "search",
    id: "search",
    placeholder: "in ids and answers",
    autocomplete: "off",
    input: () => later(() => go({ search: search.value, id: "" }, { replace: true })),
  });
  const where = h("input", {
    id: "where",
    placeholder: "completion_tokens > 100",
    autocomplete: "off",
    spellcheck: "false",
    title: `Columns: ${names.join(", ")}`,
    change: () => go({ where: where.value, id: "" }),
  });
  const sort = h(
    "select",
    { id: "sort", change: () => go({ sort: sort.value, id: "" }) },
    h("option", { value: "" }, "as in the files"),
    ...names.map((name) => h("option", { value: name }, visible(name))),
  );
  const button = (id, click, attributes = {}) =>
    h("button", { type: "button", id, click, ...attributes });
  form.replaceChildren(
    h("label", {}, "Search", search),
    h(
      "details",
      { open: matchMedia("(min-width: 40.01rem)").matches || isFiltered(now) },
      h("summary", {}, "More filters"),
      h(
        "div",
        {},
        h("label", { class: "where" }, "Where (SQL)", where),
        ...FACETS[table(now)].filter((name) => names.includes(name)).map(facet),
        h("label", {}, "Sort", sort),
        button("direction", () => go({ descending: state().descending ? "" : "1", id: "" }), {
          "aria-label": "Largest first",
        }),
        button("sample", () => go({ sample: "", seed: "", id: "" })),
        h("button", { type: "button", id: "clear", click: () => go(NO_FILTER) }, "Clear"),
      ),
    ),
  );
  form.onsubmit = (event) => {
    event.preventDefault();
    clearTimeout(typing);
    go({ search: search.value, where: where.value, id: "" });
  };
}

export function isFiltered(now) {
  return Boolean(now.search || now.where || now.sample || Object.keys(now.equal).length);
}
