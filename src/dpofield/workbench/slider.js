// The figures' slider as a widget of its own, on a logarithmic scale.

import { keepKeys, slider } from "../widgets/js/controls.js";
export default {
  render({ model, el }) {
    const { node, input, show } = slider({
      name: model.get("name"), low: model.get("low"), high: model.get("high"),
      marks: model.get("marks"),
      take: (value) => {
        model.set({ value });
        model.save_changes();
        return "";
      },
    });
    const draw = () => {
      show(Math.min(model.get("high"), Math.max(model.get("low"), model.get("value"))));
      input.disabled = model.get("disabled");
    };
    const names = ["value", "disabled"].map((trait) => `change:${trait}`);
    for (const name of names) model.on(name, draw);
    draw();
    el.append(node);
    // JupyterLab takes keys from stock controls too, so this protects the whole workbench.
    const workbench = () => el.closest(".dpf-workbench")?.addEventListener("focusin", keep);
    const keep = ({ target }) => keepKeys(target);
    const asked = requestAnimationFrame(workbench); // once it is in the page
    keepKeys(input);
    return () => {
      cancelAnimationFrame(asked);
      names.forEach((name) => model.off(name, draw));
    };
  },
};
