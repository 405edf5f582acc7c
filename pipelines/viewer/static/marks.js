// Marks of the open unit: good, bad, an edited text, a note; and undo.

import { post } from "./api.js";
import { h, say, visible, warn } from "./dom.js";
import { about, state } from "./state.js";

let current = null;

/** The bar of marks of a unit. */
export function marks(found, now, whenMarked) {
  const bar = h("section", { class: "marks", "aria-label": "Marks" });
  current = {
    found,
    output: Number(now.output),
    id: found.values.id,
    bar,
    whenMarked,
    editing: null,
  };
  draw();
  return bar;
}

function mine() {
  return (
    current.found.marks.find((mark) => mark.reviewer === about.reviewer) ?? {
      mark: null,
      text: null,
      note: null,
    }
  );
}

function draw() {
  const own = mine();
  const verdict = (name, text, key) =>
    h(
      "button",
      {
        type: "button",
        class: name,
        "aria-pressed": String(own.mark === name),
        "aria-keyshortcuts": key,
        click: () => judge(name),
      },
      text,
      " ",
      h("kbd", { "aria-hidden": "true" }, key),
    );
  const others = current.found.marks.filter((mark) => mark.reviewer !== about.reviewer);
  current.bar.replaceChildren(
    h(
      "div",
      { class: "row" },
      verdict("good", "Good", "g"),
      verdict("bad", "Bad", "b"),
      h(
        "button",
        {
          type: "button",
          "aria-keyshortcuts": "e",
          "aria-pressed": String(Boolean(own.text)),
          click: () => edit("text"),
        },
        "Edit ",
        h("kbd", { "aria-hidden": "true" }, "e"),
      ),
      h(
        "button",
        {
          type: "button",
          "aria-keyshortcuts": "n",
          "aria-pressed": String(Boolean(own.note)),
          click: () => edit("note"),
        },
        "Note ",
        h("kbd", { "aria-hidden": "true" }, "n"),
      ),
      h(
        "button",
        { type: "button", "aria-keyshortcuts": "u", click: undo },
        "Undo ",
        h("kbd", { "aria-hidden": "true" }, "u"),
      ),
    ),
    own.note && current.editing !== "note"
      ? h("p", { class: "small" }, "Note: ", h("bdi", {}, own.note))
      : "",
    own.text && current.editing !== "text"
      ? h("p", { class: "small" }, "Edited text: ", h("bdi", {}, own.text.slice(0, 300)))
      : "",
    ...others.map((mark) =>
      h(
        "p",
        { class: "small muted" },
        h("bdi", {}, visible(mark.reviewer)),
        ": ",
        mark.mark ? h("span", { class: `badge ${mark.mark}` }, mark.mark) : "",
        mark.text ? " edited the text" : "",
        mark.note ? h("bdi", {}, ` “${mark.note}”`) : "",
      ),
    ),
    current.editing ? editor(current.editing) : "",
  );
}

function editor(what) {
  const own = mine();
  const { found } = current;
  const name =
    found.answers.find((one) => found.values[one] !== null && found.values[one] !== undefined) ??
    "response";
  const whole = found.values[name] ?? "";
  const cut = what === "text" && (found.lengths[name] ?? 0) > [...whole].length && !own.text;
  if (cut) return h("p", {}, "This text is too long to be edited here.");
  const area = h("textarea", {
    id: "editor",
    maxlength: what === "note" ? 10000 : null,
    keydown: (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) save(what, area.value);
      if (event.key === "Escape") {
        event.stopPropagation();
        stop();
      }
    },
  });
  area.value = own[what] ?? (what === "text" ? whole : "");
  return h(
    "div",
    { class: "editor" },
    h("label", { for: "editor" }, what === "text" ? "Text as it should be" : "Note"),
    area,
    h(
      "div",
      { class: "row" },
      h(
        "button",
        { type: "button", id: "save", click: () => save(what, area.value) },
        "Save ",
        h("kbd", { "aria-hidden": "true" }, "Ctrl Enter"),
      ),
      h(
        "button",
        { type: "button", click: stop },
        "Cancel ",
        h("kbd", { "aria-hidden": "true" }, "Esc"),
      ),
      own[what] ? h("button", { type: "button", click: () => save(what, "") }, "Remove") : "",
    ),
  );
}

function stop() {
  current.editing = null;
  draw();
  current.bar.querySelector("button")?.focus();
}

async function save(what, value) {
  const text = what === "note" ? value.trim() : value;
  current.editing = null;
  await write(
    { [what]: text || null },
    text ? `${what === "note" ? "Note" : "Edited text"} saved` : "Removed",
  );
  current.bar.querySelector("button")?.focus();
}

async function write(change, said) {
  const { id, output } = current;
  const { mark, text, note } = mine();
  await take(await post("mark", { output, id, mark, text, note, ...change }), said);
}

async function take(told, said) {
  warn(null);
  if (told.id === current?.found.values.id) {
    current.found.marks = told.marks;
    current.found.values.review_text = told.review.review_text;
    draw();
  }
  current.whenMarked(told.id, told.review);
  say(said);
}

/** Marks the open unit good or bad; the same mark again takes it back. */
export async function judge(name) {
  if (!current || !state().id) return;
  const taken = mine().mark === name;
  const focused = current.bar.contains(document.activeElement) ? name : null;
  await write({ mark: taken ? null : name }, taken ? "Mark taken back" : `Marked ${name}`);
  if (focused) current.bar.querySelector(`.${focused}`)?.focus();
}

/** Opens the editor of the text or the note. */
export function edit(what) {
  if (!current || !state().id) return;
  current.editing = what;
  draw();
  current.bar.querySelector("textarea")?.focus();
}

/** Takes back the last mark of this session, also one of another unit. */
export async function undo() {
  const output = Number(state().output);
  const told = await post("undo", { output });
  if (!told.id) return say("There is nothing to undo.");
  if (current && current.output === output) await take(told, `Undone: ${visible(told.id)}`);
  else say(`Undone: ${visible(told.id)}`);
}
