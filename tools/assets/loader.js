// Runs a page's anywidgets without a kernel. MyST-NB puts their state in one script and a view
// script in each box (tools/ext/widgets.py).
(() => {
  const read = (script) => JSON.parse(script.textContent);
  const scripts = (kind) =>
    document.querySelectorAll(`script[type="application/vnd.jupyter.widget-${kind}+json"]`);

  // Binary traits are stored beside the state, as base64.
  const withBuffers = ({ state, buffers = [] }) => {
    for (const { path, data } of buffers) {
      const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
      const holder = path.slice(0, -1).reduce((value, key) => value[key], state);
      holder[path.at(-1)] = new DataView(bytes.buffer);
    }
    return state;
  };

  class Model {
    #state;
    #listeners = [];
    constructor(state) { this.#state = state; }
    get(name) { return this.#state[name]; }
    set(name, value) {
      if (typeof name === "object") return Object.entries(name).forEach(([k, v]) => this.set(k, v));
      if (Object.is(this.#state[name], value)) return;
      this.#state[name] = value;
      this.#fire(`change:${name}`, this, value);
      this.#fire("change", this);
    }
    save_changes() {} // there is no kernel
    send() {}
    on(names, call) {
      for (const name of names.split(" ")) this.#listeners.push({ name, call });
    }
    once(name, call) {
      const wrapped = (...args) => { this.off(name, wrapped); call(...args); };
      this.on(name, wrapped);
    }
    off(name, call) {
      this.#listeners = this.#listeners.filter(
        (l) => (name && l.name !== name) || (call && l.call !== call));
    }
    #fire(name, ...args) {
      for (const l of [...this.#listeners]) if (l.name === name) l.call(...args);
    }
  }

  // One import per source. A blob URL works from file:// too.
  const modules = new Map();
  const load = (source) => {
    if (!modules.has(source)) {
      const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
      modules.set(source, import(url).finally(() => URL.revokeObjectURL(url)));
    }
    return modules.get(source);
  };

  const styles = new Set();
  const style = (css) => {
    if (!css || styles.has(css)) return;
    styles.add(css);
    document.head.append(Object.assign(document.createElement("style"), { textContent: css }));
  };

  const models = new Map();
  const start = async (record) => {
    const state = withBuffers(record);
    if (!state._esm) throw new Error("not an anywidget");
    style(state._css);
    const { default: found } = await load(state._esm);
    const widget = typeof found === "function" ? await found() : found;
    const model = new Model(state);
    await widget.initialize?.({ model });
    return { widget, model };
  };

  const mount = async (box, id, records) => {
    if (box.dataset.mounted !== undefined) return;
    box.dataset.mounted = "";
    const el = document.createElement("div");
    try {
      if (!records[id]) throw new Error("its state is not in this page");
      if (!models.has(id)) models.set(id, start(records[id]));
      const { widget, model } = await models.get(id);
      box.append(el);
      await widget.render?.({ model, el });
      box.dataset.mounted = "1";
    } catch (error) {
      console.error(error);
      el.setAttribute("role", "alert");
      el.textContent = `This figure could not start: ${error.message}`;
      box.append(el);
      box.dataset.mounted = "error";
    }
  };

  // The page is complete here, because this script is deferred.
  const records = Object.assign({}, ...[...scripts("state")].map((s) => read(s).state));
  const boxes = new Map([...scripts("view")].map((s) => [s.parentElement, read(s).model_id]));
  const show = (box) => mount(box, boxes.get(box), records);
  const near = new IntersectionObserver(
    (entries) => entries.forEach((e) => e.isIntersecting && show(e.target)),
    { rootMargin: "400px" },
  );
  boxes.forEach((_, box) => near.observe(box));
  addEventListener("beforeprint", () => boxes.forEach((_, box) => show(box)));
})();
