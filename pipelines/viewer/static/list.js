// Units as a gallery or as a table.

import { get } from "./api.js";
import { h, named, number, visible } from "./dom.js";
import { isFiltered } from "./filters.js";
import { thumbnail } from "./pictures.js";
import { address, answerOf, answers, columns, go, nothing, output, query, state, table } from "./state.js";

const PAGE = 50;
const LESS = new Set([
  "more_columns",
  "source_version",
  "run_id",
  "model",
  "attempts",
  "response",
  "reviewers",
  "reviewed_at",
  "retriable",
  "retry",
]);
let shown = { rows: [], more: false };
let asking = null;

/** The rows that are listed now. */
export function listed() {
  return shown;
}

export async function list(main, now) {
  asking?.abort();
  asking = new AbortController();
  const { signal } = asking;
  const count = h(
    "span",
    { class: "muted", id: "count" },
    isFiltered(now) ? "" : total(output(now).tables[table(now)].rows),
  );
  const content = h("div", { id: "list" });
  const more = h(
    "button",
    { type: "button", class: "more", id: "more", hidden: true, click: () => loadMore() },
    "More",
  );
  if (
    !main.querySelector("#list") ||
    main.dataset.list !== `${now.page} ${now.view} ${now.output}`
  ) {
    main.replaceChildren(h("p", { class: "muted" }, "Loading …"));
  }
  const found = await get("rows", { ...query(now), limit: PAGE, offset: 0 }, signal);
  shown = { ...found, now };
  const draw = now.view === "table" ? drawTable : drawGallery;
  main.dataset.list = `${now.page} ${now.view} ${now.output}`;
  main.replaceChildren(
    h(
      "div",
      { class: "row between" },
      h(
        "h2",
        {},
        table(now) === "results"
          ? "Units"
          : visible(table(now)[0].toUpperCase() + table(now).slice(1)),
        " ",
        count,
      ),
      views(now),
    ),
    now.page === "errors" ? await kinds(now) : "",
    content,
    more,
  );
  draw(content, found.rows, now);
  more.hidden = !found.more;
  if (!found.rows.length)
    content.append(
      h(
        "p",
        {},
        "No unit is like this. ",
        h("span", { class: "muted" }, "Change the search or the condition above."),
      ),
    );
  if (isFiltered(now)) count.textContent = total((await get("count", query(now), signal)).rows);
}

function total(rows) {
  return `${number(rows)} ${rows === 1 ? "row" : "rows"}`;
}

function views(now) {
  const button = (view, text) =>
    h(
      "button",
      { type: "button", "aria-pressed": String(now.view === view), click: () => go({ view }) },
      text,
    );
  return h(
    "div",
    { class: "row", role: "group", "aria-label": "View" },
    button("gallery", "Gallery"),
    button("table", "Table"),
  );
}

async function kinds(now) {
  const { kind: _, ...others } = now.equal;
  const found = await get("values", { ...query({ ...now, equal: others }), column: "kind" });
  const most = Math.max(1, ...found.map((one) => one.rows));
  return h(
    "ul",
    { class: "counts", "aria-label": "Errors by kind" },
    ...found.map(({ value, rows }) => {
      const bar = h("i", {});
      bar.style.width = `${(100 * rows) / most}%`;
      const pressed = now.equal.kind === value;
      const equal = pressed ? others : { ...others, kind: value };
      return h(
        "li",
        {},
        h(
          "button",
          { type: "button", "aria-pressed": String(pressed), click: () => go({ equal, id: "" }) },
          visible(value ?? "none"),
          bar,
          number(rows),
        ),
      );
    }),
  );
}

/** Loads the next rows; used by the button and by the key for the next unit. */
export async function loadMore() {
  const { now, rows } = shown;
  if (!shown.more) return;
  const found = await get("rows", { ...query(now), limit: PAGE, offset: rows.length });
  if (shown.now !== now) return;
  shown = { rows: [...rows, ...found.rows], more: found.more, now };
  (now.view === "table" ? drawTable : drawGallery)(
    document.getElementById("list"),
    found.rows,
    now,
  );
  document.getElementById("more").hidden = !found.more;
  highlight(state().id);
}

function link(row) {
  // Made at the click: what is chosen may have changed since.
  const open = (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    go({ id: row.id });
  };
  return h("a", { href: address({ id: row.id }), click: open, "data-id": row.id }, named(row.id));
}

function badges(row) {
  return [
    row.finish_reason && row.finish_reason !== "stop"
      ? h("span", { class: "badge" }, visible(row.finish_reason))
      : "",
    row.kind && row.stage ? h("span", { class: "badge bad" }, visible(row.kind)) : "",
    ...marksOf(row),
  ];
}

function marksOf(row) {
  return [
    row.review
      ? h("span", { class: `badge ${row.review === "good" ? "good" : "bad"}` }, visible(row.review))
      : "",
    row.review_text ? h("span", { class: "badge" }, "edited") : "",
    row.review_note ? h("span", { class: "badge" }, "note") : "",
  ];
}

function drawGallery(content, rows, now) {
  let gallery = content.querySelector(".gallery");
  if (!gallery) content.append((gallery = h("ul", { class: "gallery" })));
  gallery.append(
    ...rows.map((row) => {
      const picture = thumbnail(row, now);
      return h(
        "li",
        { class: "card", "data-row": row.id },
        picture ? h("div", { class: "picture" }, picture) : "",
        h(
          "div",
          { class: "said" },
          link(row),
          " ",
          h("span", { class: "badges" }, ...badges(row)),
          h(
            "p",
            {},
            h(
              "bdi",
              {},
              answerOf(row, now) || h("span", { class: "muted" }, nothing(now)),
            ),
          ),
        ),
      );
    }),
  );
  highlight(state().id);
}

function chosenColumns(now) {
  const all = columns(now).filter((column) => column.name !== "id");
  const saved = JSON.parse(localStorage.getItem(`columns ${table(now)}`) ?? "null");
  if (saved) return all.filter((column) => saved.includes(column.name));
  const first = answers(now).map((column) => column.name);
  const rest = all.filter((column) => !LESS.has(column.name) && !first.includes(column.name));
  return [...all.filter((column) => first.includes(column.name)), ...rest].slice(0, 12);
}

function chooser(now) {
  const all = columns(now).filter((column) => column.name !== "id");
  const chosen = new Set(chosenColumns(now).map((column) => column.name));
  const box = (column) =>
    h(
      "label",
      {},
      h("input", {
        type: "checkbox",
        checked: chosen.has(column.name),
        change: (event) => {
          if (event.target.checked) chosen.add(column.name);
          else chosen.delete(column.name);
          localStorage.setItem(`columns ${table(now)}`, JSON.stringify([...chosen]));
          window.dispatchEvent(new Event("again"));
        },
      }),
      visible(column.name),
    );
  return h(
    "details",
    { class: "chooser" },
    h("summary", {}, "Columns"),
    h("div", {}, ...all.map(box)),
  );
}

function drawTable(content, rows, now) {
  const chosen = chosenColumns(now);
  let body = content.querySelector("tbody");
  if (!body) {
    body = h("tbody", {});
    const head = ["id", ...chosen.map((column) => column.name)].map((name) => heading(name, now));
    const grid = h("table", {}, h("thead", {}, h("tr", {}, ...head)), body);
    content.append(
      chooser(now),
      h(
        "div",
        { class: "rows scrolls", tabindex: "0", role: "region", "aria-label": "Table of units" },
        grid,
      ),
    );
  }
  body.append(
    ...rows.map((row) =>
      h(
        "tr",
        { "data-row": row.id },
        h("th", { scope: "row" }, link(row), " ", h("span", { class: "badges" }, ...marksOf(row))),
        ...chosen.map((column) =>
          h(
            "td",
            { class: `cell-${column.kind}${column.answer ? " answer" : ""}` },
            h("div", {}, h("bdi", {}, cell(row[column.name], column))),
          ),
        ),
      ),
    ),
  );
  highlight(state().id);
}

function heading(name, now) {
  const sorted = now.sort === name;
  const descending = sorted && now.descending !== "1" ? "1" : "";
  const order = now.descending === "1" ? "descending" : "ascending";
  const mark = sorted ? (now.descending === "1" ? " ↓" : " ↑") : "";
  return h(
    "th",
    { scope: "col", "aria-sort": sorted ? order : null },
    h(
      "button",
      { type: "button", click: () => go({ sort: name, descending, id: "" }) },
      visible(name),
      mark,
    ),
  );
}

function cell(value, column) {
  if (value === null || value === undefined) return "";
  if (column.kind === "boxes")
    return value.map((box) => visible(box.label ?? "")).join(", ") || `${value.length} boxes`;
  return column.kind === "number" ? number(value) : String(value);
}

/** Marks the unit that is open. */
export function highlight(id) {
  for (const open of document.querySelectorAll("#list a[data-id]")) {
    if (open.dataset.id === id) open.setAttribute("aria-current", "true");
    else open.removeAttribute("aria-current");
  }
}

/** Shows in the list what was just marked. */
export function refreshRow(id, review) {
  const row = shown.rows.find((one) => one.id === id);
  if (row) Object.assign(row, { review: null, review_text: null, review_note: null }, review);
  for (const element of document.querySelectorAll("#list [data-row]")) {
    if (element.dataset.row !== id) continue;
    element
      .querySelector(".badges")
      .replaceChildren(
        ...(shown.now.view === "table" ? marksOf(row) : badges(row)).filter(Boolean),
      );
  }
}
