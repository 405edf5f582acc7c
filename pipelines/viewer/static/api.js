// Questions to the server. Each answer is JSON; {"error": …} is a message for the person.

async function answer(response) {
  if (response.status === 403)
    throw new Error("The viewer was started again: open the address that it printed.");
  const value = await response.json();
  if (value && value.error && !response.ok) throw new Error(value.error);
  return value;
}

/** Asks for something; what is null or empty is left out of the query. */
export async function get(path, query = {}, signal = undefined) {
  return answer(await fetch(`/api/${path}?${encoded(query)}`, { signal }));
}

/** Changes something. */
export async function post(path, body = {}) {
  const headers = { "Content-Type": "application/json" };
  return answer(
    await fetch(`/api/${path}`, { method: "POST", headers, body: JSON.stringify(body) }),
  );
}

export function encoded(query) {
  const given = Object.entries(query).filter(
    ([, value]) => value !== null && value !== undefined && value !== "",
  );
  return new URLSearchParams(
    given.map(([name, value]) => [name, typeof value === "object" ? JSON.stringify(value) : value]),
  );
}

/** The address of a picture. */
export function picture(query, id, size, place = 0, frame = 0) {
  return `/picture?${encoded({ output: query.output, table: query.table, id, size, place, frame })}`;
}
