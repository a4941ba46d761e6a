// A figure's state in the page's address, so that a view can be sent or assigned: one query
// parameter a trait, `?FieldExplorer.beta=0.5`, behind the name of the figure's box. Only what
// differs from the page as it was written is there, and the page's own anchors stay as they are.

import { cut } from "./text.js";

// A text of the address as the kind of value that a trait has; undefined where it is none.
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

// What the address asks of the figure `name`, whose traits now are `values`: { asked, why }. `why`
// is "" or what is wrong with it, in words.
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

// The page's address with the figure's traits in it, those that `begin` does not have already.
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

// A browser may forbid it (a sandboxed frame) or have enough of it: the figure works all the same.
export function writeAddress(to) {
  try { history.replaceState(history.state, "", to); } catch { /* the address stays as it was */ }
}
