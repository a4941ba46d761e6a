// Memoizing, and the time at which a change is drawn or saved.

// Memoizes the last value: for parts unchanged during a drag.
export function keeper() {
  let last = null;
  let made;
  return (key, make) => {
    if (key !== last) [last, made] = [key, make()];
    return made;
  };
}

// Many calls, one run: at the next frame (`now` runs it at once), or after `wait` ms without a call.
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
