// What is drawn once, and when a change is drawn or told.

// Keeps what was made last and makes it again only for another key: for parts that a drag leaves as
// they are.
export function keeper() {
  let last = null;
  let made;
  return (key, make) => {
    if (key !== last) [last, made] = [key, make()];
    return made;
  };
}

// Many calls, one run: at the next frame (`now` does not wait), and once things have been quiet.
export function atNextFrame(run) {
  let asked = 0;
  const go = () => { asked = 0; run(); };
  const ask = () => { asked ||= requestAnimationFrame(go); };
  ask.cancel = () => { cancelAnimationFrame(asked); asked = 0; };
  ask.now = () => { if (asked) { ask.cancel(); go(); } };
  return ask;
}
export function whenQuiet(run, wait) {
  let timer = 0;
  const ask = () => { clearTimeout(timer); timer = setTimeout(run, wait); };
  ask.cancel = () => clearTimeout(timer);
  return ask;
}
