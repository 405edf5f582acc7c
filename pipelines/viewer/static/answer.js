// The answer of a unit: as plain text, as rendered Markdown, or with what differs from another text.

import { get } from "./api.js";
import { blockList } from "./blocks.js";
import { h, number, tree, visible } from "./dom.js";
import { about, nothing, query } from "./state.js";

let form = "text";

/** The answer in the form that was chosen last. */
export function texts(found, now) {
  const names = found.answers.filter((name) => found.values[name]);
  if (!names.length && found.values.response) names.push("response");
  if (!names.length)
    return h("p", { class: "muted" }, now.page === "errors" ? "" : nothing(now));
  const box = h("div", {});
  const others = compared(found, now, names[0]);
  const select = h(
    "select",
    { "aria-label": "Compare with", change: () => draw("differences") },
    ...others.map((one, index) => h("option", { value: index }, one.title)),
  );
  const kinds = {
    text: "Text",
    ...(found.rendered[names[0]] ? { markdown: "Rendered" } : {}),
    ...(found.blocks?.length ? { blocks: "Blocks" } : {}),
    ...(others.length ? { differences: "Differences" } : {}),
  };
  const buttons = Object.entries(kinds).map(([kind, title]) =>
    h("button", { type: "button", "data-form": kind, click: () => draw(kind) }, title),
  );
  const draw = async (kind) => {
    form = kind;
    for (const button of buttons)
      button.setAttribute("aria-pressed", String(button.dataset.form === kind));
    select.hidden = kind !== "differences";
    if (kind === "markdown")
      box.replaceChildren(
        ...names.map((name) =>
          h(
            "div",
            {
              class: "markdown",
              tabindex: "0",
              role: "region",
              "aria-label": `${visible(name)}, rendered`,
            },
            ...tree(found.rendered[name] ?? []),
          ),
        ),
      );
    else if (kind === "blocks")
      box.replaceChildren(blockList(found.blocks));
    else if (kind === "differences")
      box.replaceChildren(await difference(others[select.value || 0], found.values.id));
    else
      box.replaceChildren(
        ...names.flatMap((name) => [
          names.length > 1 ? h("h3", {}, visible(name)) : "",
          plain(found, now, name),
        ]),
      );
  };
  draw(form in kinds ? form : "text");
  return h(
    "section",
    { "aria-label": "Answer" },
    h(
      "div",
      { class: "row" },
      h("h3", {}, "Answer"),
      h("span", { class: "row", role: "group", "aria-label": "Form of the answer" }, ...buttons),
      select,
    ),
    box,
  );
}

function plain(found, now, name) {
  const text = h(
    "div",
    { class: "text", tabindex: "0", role: "region", "aria-label": visible(name) },
    found.values[name],
  );
  const whole = found.lengths[name] ?? 0;
  let loaded = found.values[name].length;
  if (whole <= loaded) return text;
  const more = h(
    "button",
    {
      type: "button",
      click: async () => {
        const part = (
          await get("text", {
            ...query(now),
            id: found.values.id,
            column: name,
            start: [...text.textContent].length,
          })
        ).text;
        text.append(part);
        loaded += part.length;
        more.hidden = !part || [...text.textContent].length >= whole;
      },
    },
    `Show more of its ${number(whole)} characters`,
  );
  return h("div", {}, text, more);
}

function compared(found, now, name) {
  const here = { first: now.output, second: now.output };
  const list = [];
  if (found.values.text_layer)
    list.push({ title: "the document's own text", ...here, column: "text_layer", other: name });
  if (found.values.review_text)
    list.push({ title: "the edited text", ...here, column: name, other: "review_text" });
  about.outputs.forEach((one, index) => {
    if (
      String(index) !== now.output &&
      one.tables.results?.columns.some((column) => column.name === name)
    ) {
      list.push({
        title: visible(one.name),
        first: now.output,
        second: index,
        column: name,
        other: name,
      });
    }
  });
  return list;
}

/** Two texts in one, with what is only in the first struck out and what is only in the second underlined. */
export async function difference(asked, id) {
  const { title: _, ...rest } = asked;
  const told = await get("difference", { ...rest, id });
  if (!told.there[1]) return h("p", { class: "muted" }, "The other one has no such text.");
  return h(
    "div",
    {},
    h(
      "p",
      { class: "small muted" },
      `${(100 * told.similarity).toFixed(1)} % alike. `,
      h("del", {}, "only in the first"),
      " ",
      h("ins", {}, "only in the second"),
      told.complete ? "" : " Only the beginning is compared: the texts are long.",
    ),
    h("div", { class: "text" }, ...told.parts.map(part)),
  );
}

export function part({ op, text }) {
  if (op === "same") return text;
  return h(op === "first" ? "del" : "ins", {}, text);
}
