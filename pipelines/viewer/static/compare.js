// Two outputs side by side, by id.

import { difference, part } from "./answer.js";
import { get } from "./api.js";
import { h, named, number, visible } from "./dom.js";
import { boxesOf, framed } from "./pictures.js";
import { about, address, answers, go, output, query } from "./state.js";

const PAGE = 30;
const WHICH = {
  differs: "differ",
  same: "are the same",
  first: "only in the first",
  second: "only in the second",
  all: "all",
};

function common(first, second) {
  const there = new Set(second.tables.results?.columns.map((column) => column.name));
  return first.tables.results.columns.filter(
    (column) => there.has(column.name) && column.name !== "id" && !column.name.startsWith("review"),
  );
}

export async function compare(main, now) {
  const others = about.outputs
    .map((_, index) => String(index))
    .filter((index) => index !== now.output && about.outputs[index].tables.results);
  const second = others.includes(now.second) ? now.second : others[0];
  if (second === undefined)
    return main.replaceChildren(h("p", {}, "The other outputs have no results."));
  const shared = common(output(now), about.outputs[second]);
  const usual =
    answers(now)
      .map((column) => column.name)
      .find((name) => shared.some((column) => column.name === name)) ?? "response";
  const name = shared.some((column) => column.name === now.column) ? now.column : usual;
  const asked = { first: now.output, second, column: name, which: now.which };
  const list = h("ul", { class: "pairs" });
  const found = await get("compared", { ...asked, limit: PAGE, offset: 0 });
  const all = Object.values(found.counts).reduce((sum, rows) => sum + rows, 0);
  const choice = (id, label, value, options, change) =>
    h(
      "label",
      {},
      label,
      h(
        "select",
        { id, change: (event) => change(event.target.value) },
        ...options.map(([key, text]) => h("option", { value: key, selected: key === value }, text)),
      ),
    );
  let offset = 0;
  const more = h(
    "button",
    {
      type: "button",
      class: "more",
      hidden: !found.more,
      click: async () => {
        offset += PAGE;
        const next = await get("compared", { ...asked, limit: PAGE, offset });
        list.append(...next.rows.map((row) => pair(row, now, asked)));
        more.hidden = !next.more;
      },
    },
    "More",
  );
  main.replaceChildren(
    h("h2", {}, "Compare ", named(output(now).name), " and ", named(about.outputs[second].name)),
    h(
      "div",
      { class: "row" },
      others.length > 1
        ? choice(
            "second",
            "With",
            second,
            others.map((index) => [index, visible(about.outputs[index].name)]),
            (value) => go({ second: value }),
          )
        : "",
      choice(
        "compared-column",
        "Column",
        name,
        shared.map((column) => [column.name, visible(column.name)]),
        (value) => go({ column: value }),
      ),
      choice(
        "which",
        "Units that",
        now.which,
        Object.entries(WHICH).map(([key, text]) => [
          key,
          `${text} (${number(key === "all" ? all : (found.counts[key] ?? 0))})`,
        ]),
        (value) => go({ which: value }),
      ),
    ),
    list,
    more,
  );
  if (!found.rows.length) list.append(h("li", {}, "No unit is like this."));
  list.append(...found.rows.map((row) => pair(row, now, asked)));
}

function pair(row, now, asked) {
  const whole = h("div", {});
  const open = h(
    "button",
    {
      type: "button",
      "aria-expanded": "false",
      click: async () => {
        const shown = open.getAttribute("aria-expanded") === "true";
        open.setAttribute("aria-expanded", String(!shown));
        if (shown) whole.replaceChildren();
        else await opened(whole, row, now, asked);
      },
    },
    "Show whole",
  );
  const side = (text, op) =>
    h(
      "div",
      {},
      text === null
        ? h("span", { class: "muted" }, "none")
        : h("bdi", {}, ...row.parts.filter((one) => one.op === "same" || one.op === op).map(part)),
    );
  return h(
    "li",
    { class: "pair" },
    h(
      "div",
      { class: "row between" },
      h(
        "span",
        {},
        h("a", { href: address({ page: "units", id: row.id }) }, named(row.id)),
        " ",
        h("span", { class: "badge" }, WHICH[row.status]),
      ),
      open,
    ),
    h("div", { class: "two" }, side(row.first, "first"), side(row.second, "second")),
    whole,
  );
}

async function opened(whole, row, now, asked) {
  const sides = [
    [asked.first, "second"],
    [asked.second, "first"],
  ].filter(([, absent]) => row.status !== absent);
  const pictures = await Promise.all(
    sides.map(async ([index]) => {
      const there = { ...now, output: String(index), page: "units" };
      const found = await get("unit", { ...query(there), id: row.id });
      return found.places && output(there).media
        ? framed(found.values, { size: "large", list: boxesOf(found.values), now: there })
        : "";
    }),
  );
  whole.replaceChildren(
    h("div", { class: "two large" }, ...pictures.map((picture) => h("div", {}, picture))),
    sides.length === 2
      ? await difference({ first: asked.first, second: asked.second, column: asked.column }, row.id)
      : "",
  );
}
