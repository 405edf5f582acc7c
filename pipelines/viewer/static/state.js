// What the person sees is in the address after the "#", so that the browser's own back button works.

export const PAGES = {
  units: "Units",
  errors: "Errors",
  documents: "Documents",
  compare: "Compare",
  charts: "Charts",
  review: "Review",
  runs: "Runs",
};
export const NO_FILTER = {
  search: "",
  where: "",
  equal: {},
  sort: "",
  descending: "",
  sample: "",
  seed: "",
  id: "",
};
const EMPTY = {
  page: "units",
  output: "0",
  view: "gallery",
  ...NO_FILTER,
  second: "",
  column: "",
  which: "differs",
};

export let about = { outputs: [] };
export function learn(described) {
  about = described;
}

export function state() {
  const given = new URLSearchParams(location.hash.slice(1));
  const found = { ...EMPTY };
  for (const name of Object.keys(EMPTY)) if (given.has(name)) found[name] = given.get(name);
  if (typeof found.equal === "string") {
    try {
      found.equal = JSON.parse(found.equal) ?? {};
    } catch {
      found.equal = {};
    }
  }
  if (!(found.page in PAGES)) found.page = "units";
  if (!about.outputs[found.output]) found.output = "0";
  return found;
}

/** The address of what is seen now, but for `changes`. */
export function address(changes) {
  const wanted = { ...state(), ...changes };
  const given = new URLSearchParams();
  for (const [name, value] of Object.entries(wanted)) {
    const text =
      typeof value === "object"
        ? Object.keys(value).length
          ? JSON.stringify(value)
          : ""
        : String(value);
    if (text !== "" && text !== EMPTY[name]) given.set(name, text);
  }
  return `#${given}`;
}

/** Shows something else; a change that is typed leaves no trail for the back button. */
export function go(changes, { replace = false } = {}) {
  const target = address(changes);
  if (target === (location.hash || "#")) return;
  if (replace) history.replaceState(null, "", target);
  else history.pushState(null, "", target);
  window.dispatchEvent(new Event("state"));
}

export function output(now = state()) {
  return about.outputs[Number(now.output)];
}

export function table(now = state()) {
  return { errors: "errors", documents: "documents" }[now.page] ?? "results";
}

/** The part of the state that chooses rows, as the server takes it. */
export function query(now = state()) {
  const { search, where, equal, sort, descending, sample, seed } = now;
  const chosen = Object.keys(equal).length ? equal : "";
  return {
    output: now.output,
    table: table(now),
    search,
    where,
    equal: chosen,
    sort,
    descending,
    sample,
    seed,
  };
}

export function columns(now = state()) {
  return output(now).tables[table(now)]?.columns ?? [];
}

/** The columns of the answer, the ones that people read first. */
export function answers(now = state()) {
  return columns(now).filter((column) => column.answer);
}

/** What stands in place of an empty answer; vectors and other numbers are no texts that could be empty. */
export function nothing(now = state()) {
  const texts = answers(now).some((column) => column.kind === "text");
  return texts || !answers(now).length ? "The answer is empty." : "";
}

/** The text of a row's answer. */
export function answerOf(row, now = state()) {
  const texts = answers(now)
    .filter((column) => column.kind === "text")
    .map((column) => row[column.name]);
  return texts.find((text) => text) ?? row.response ?? row.message ?? "";
}
