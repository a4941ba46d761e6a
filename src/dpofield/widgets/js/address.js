// A figure's state in the page's address, so that a link can carry a view: one query parameter per
// trait, named by the figure's box and the trait, `?FieldExplorer.beta=0.5`. Only traits that differ
// from their initial values are written. The page's own anchors do not change.

import { cut } from "./text.js";

// A text of the address as a value of the type of `like`; undefined if it is not one.
function readAs(text, like) {
  if (typeof like === "string") return text;
  let value;
  try { value = JSON.parse(text); } catch { return undefined; }
  if (typeof like === "number") return Number.isFinite(value) ? value : undefined;
  if (Array.isArray(like) !== Array.isArray(value) || value === null) return undefined;
  const whole = typeof value === "object" && Object.values(value).every(Number.isFinite);
  return whole ? value : undefined;
}

const writeAs = (value) => (typeof value === "string" ? value : JSON.stringify(value));

// The traits that the address sets in the figure `name`, which now has `values`: { asked, why }.
// `why` is "" or an error message.
export function readAddress(name, values) {
  const asked = {};
  for (const [key, text] of new URLSearchParams(location.search)) {
    if (!key.startsWith(`${name}.`)) continue;
    const trait = key.slice(name.length + 1);
    if (!Object.hasOwn(values, trait)) return { asked, why: `it has no “${cut(trait)}”` };
    const value = readAs(text, values[trait]);
    if (value === undefined) return { asked, why: `“${cut(text)}” is no ${trait}` };
    asked[trait] = value;
  }
  return { asked, why: "" };
}

// The page's address with those traits of the figure that differ from `begin`.
export function addressOf(name, values, begin) {
  const to = new URL(location.href);
  const own = [...to.searchParams.keys()].filter((key) => key.startsWith(`${name}.`));
  for (const key of new Set(own)) to.searchParams.delete(key);
  for (const [trait, value] of Object.entries(values)) {
    const text = writeAs(value);
    if (text !== writeAs(begin[trait])) to.searchParams.append(`${name}.${trait}`, text);
  }
  return to;
}

// A browser may forbid this call (in a sandboxed frame) or limit its rate; the figure still works.
export function writeAddress(to) {
  try { history.replaceState(history.state, "", to); } catch { /* the address stays as it was */ }
}
