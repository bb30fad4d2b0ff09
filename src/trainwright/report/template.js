// Adds to a page that is complete without it: values under the pointer or the arrow keys, and zoom over steps.
(() => {
  "use strict";
  const BOX = 10000;
  const SVG = "http://www.w3.org/2000/svg";
  const plots = [...document.querySelectorAll(".plot")];
  const overSteps = plots.filter((plot) => plot.classList.contains("steps"));
  const live = make("p", document.body, "heard");
  live.setAttribute("aria-live", "polite");
  let view = [0, 1];

  function make(name, parent, style) {
    const element = document.createElement(name);
    if (style) element.className = style;
    parent.append(element);
    return element;
  }

  function clamp(value, low, high) {
    return Math.min(high, Math.max(low, value));
  }

  function say(value) {
    if (value === 0) return "0";
    const size = Math.abs(value);
    if (size < 1e-3 || size >= 1e6) return value.toExponential(1).replace("e+", "e");
    return size >= 1000 ? Math.round(value).toLocaleString("en") : String(+value.toPrecision(4));
  }

  function scaled(fraction, low, high, log) {
    return log ? low * (high / low) ** fraction : low + fraction * (high - low);
  }

  function ticks(low, high, wanted) {
    const unit = 10 ** Math.floor(Math.log10((high - low) / wanted));
    const step = Math.max(1, [1, 2, 5, 10].map((m) => m * unit).find((s) => s * wanted >= high - low) || unit);
    const result = [];
    for (let t = Math.ceil(low / step) * step; t <= high; t += step) result.push(t);
    return result;
  }

  // ---- zoom: one stretch of steps for all charts

  function show(low, high) {
    const span = clamp(high - low, 1e-3, 1);
    low = clamp(low, 0, 1 - span);
    view = [low, low + span];
    for (const plot of overSteps) {
      plot.classList.toggle("zoomed", span < 1);
      plot.querySelector(".data").setAttribute("viewBox", `${low * BOX} 0 ${span * BOX} ${BOX}`);
      label(plot);
      for (const element of plot.querySelectorAll("[data-x]")) {
        const at = (element.dataset.x - low) / span;
        const names = element.tagName === "line" ? ["x1", "x2"] : element.tagName === "circle" ? ["cx"] : ["x"];
        for (const name of names) element.setAttribute(name, `${at * 100}%`);
        element.classList.toggle("out", at < -1e-6 || at > 1 + 1e-6);
      }
    }
    for (const button of document.querySelectorAll(".tools .reset")) button.disabled = span === 1;
  }

  function label(plot) {
    const axis = plot.querySelector(".x.axis");
    const [x0, x1] = [+plot.dataset.x0, +plot.dataset.x1];
    const isHeat = plot.classList.contains("heat");
    axis.replaceChildren();
    ticks(x0 + view[0] * (x1 - x0), x0 + view[1] * (x1 - x0), 7).forEach((tick, i) => {
      const at = (tick - x0) / (x1 - x0);
      if (!isHeat) {
        const line = document.createElementNS(SVG, "line");
        line.setAttribute("y1", "0");
        line.setAttribute("y2", "100%");
        line.setAttribute("class", "grid");
        line.dataset.x = at;
        axis.append(line);
      }
      const text = document.createElementNS(SVG, "text");
      text.setAttribute("y", "100%");
      text.setAttribute("dy", "18");
      if (i % 2) text.setAttribute("class", "sparse");
      text.dataset.x = at;
      text.textContent = tick.toLocaleString("en");
      axis.append(text);
    });
  }

  function zoom(factor, centre) {
    const [low, high] = view;
    show(centre - (centre - low) * factor, centre + (high - centre) * factor);
  }

  // ---- values

  function points(plot) {
    plot.lines ||= [...plot.querySelectorAll(".data polyline")].map((line) => ({
      label: line.dataset.label,
      at: line.getAttribute("points").split(" ").map((pair) => pair.split(",").map((v) => v / BOX)),
    }));
    return plot.lines;
  }

  function nearest(lines, axis, where) {
    const best = new Map();
    for (const line of lines) {
      for (const point of line.at) {
        const away = Math.abs(point[axis] - where);
        if (!best.has(line.label) || away < best.get(line.label).away) best.set(line.label, { away, point });
      }
    }
    return best;
  }

  function pixels(plot, then) {
    if (plot.pixels) return then(plot.pixels);
    const picture = new Image();
    picture.onload = () => {
      const canvas = document.createElement("canvas");
      [canvas.width, canvas.height] = [picture.width, picture.height];
      const context = canvas.getContext("2d", { willReadFrequently: true });
      context.drawImage(picture, 0, 0);
      plot.pixels = context.getImageData(0, 0, canvas.width, canvas.height);
      then(plot.pixels);
    };
    picture.src = plot.querySelector("image").getAttribute("href");
  }

  function colourAt(plot, across, down, then) {
    pixels(plot, (picture) => {
      const x = Math.min(picture.width - 1, Math.floor(across * picture.width));
      const y = Math.min(picture.height - 1, Math.floor(down * picture.height));
      const [r, g, b, a] = picture.data.slice(4 * (y * picture.width + x));
      const hex = "#" + [r, g, b].map((c) => c.toString(16).padStart(2, "0")).join("");
      const ramp = [...plot.parentElement.querySelectorAll(".ramp rect")].map((bar) => bar.getAttribute("fill"));
      const level = ramp.indexOf(hex);
      const { y0, y1, log } = plot.dataset;
      if (!a) then("no reading");
      else if (level >= 0) then(`about ${say(scaled(level / (ramp.length - 1), +y0, +y1, log))}`);
      else then(g > 100 ? "zero" : "not finite");
    });
  }

  function read(plot, across, down, aloud) {
    const { x0, x1, y0, y1, log, unit } = plot.dataset;
    const rows = plot.dataset.rows ? plot.dataset.rows.split("\n") : [];
    const row = Math.min(rows.length - 1, Math.floor(down * rows.length));
    const along = view[0] + across * (view[1] - view[0]);
    if (plot.classList.contains("heat")) {
      const head = `step ${Math.round(scaled(along, +x0, +x1)).toLocaleString("en")}`;
      colourAt(plot, along, down, (value) => tell(plot, across, down, [rows[row], head, `${unit}: ${value}`], aloud));
    } else if (plot.classList.contains("profile")) {
      const middle = (row + 0.5) / rows.length;
      const lines = [rows[row]];
      for (const [name, { away, point }] of nearest(points(plot), 1, middle)) {
        if (away < 0.4 / rows.length) lines.push(`${name}: ${say(scaled(point[0], +x0, +x1, log))}`);
      }
      tell(plot, across, down, lines, aloud);
    } else {
      const lines = [`step ${Math.round(scaled(along, +x0, +x1)).toLocaleString("en")}`];
      for (const [name, { away, point }] of nearest(points(plot), 0, along)) {
        if (away < 0.05 * (view[1] - view[0]) + 0.002) lines.push(`${name}: ${say(scaled(1 - point[1], +y0, +y1, log))}`);
      }
      tell(plot, across, down, lines, aloud);
    }
  }

  function tell(plot, across, down, lines, aloud) {
    const frame = plot.querySelector(".frame").getBoundingClientRect();
    const box = plot.getBoundingClientRect();
    plot.tip ||= make("div", plot, "tip");
    plot.cross ||= make("div", plot, "cross");
    plot.tip.hidden = plot.cross.hidden = false;
    plot.tip.replaceChildren(...lines.map((line) => Object.assign(document.createElement("div"), { textContent: line })));
    const left = frame.left - box.left + across * frame.width;
    const top = frame.top - box.top;
    Object.assign(plot.cross.style, { left: `${left}px`, top: `${top}px`, height: `${frame.height}px` });
    const width = plot.tip.offsetWidth;
    const beside = left + 14 + width > box.width ? left - 14 - width : left + 14;
    plot.tip.style.left = `${Math.max(0, beside)}px`;
    plot.tip.style.top = `${top + clamp(down * frame.height + 12, 4, Math.max(4, frame.height - plot.tip.offsetHeight - 4))}px`;
    plot.cursor = [across, down];
    if (aloud) live.textContent = lines.join(", ");
  }

  function hush(plot) {
    if (plot.tip) plot.tip.hidden = plot.cross.hidden = true;
  }

  // ---- pointer and keys

  for (const plot of plots) {
    const frame = plot.querySelector(".frame");
    const zooms = plot.classList.contains("steps");
    let start = null;
    let picked = null;
    const place = (event) => {
      const box = frame.getBoundingClientRect();
      return [clamp((event.clientX - box.left) / box.width, 0, 1), clamp((event.clientY - box.top) / box.height, 0, 1)];
    };
    plot.tabIndex = 0;
    plot.setAttribute("role", "group");
    plot.setAttribute("aria-label", `${frame.getAttribute("aria-label")}. Arrow keys read values${zooms ? "; plus, minus and 0 zoom" : ""}.`);
    plot.addEventListener("pointermove", (event) => {
      const [across, down] = place(event);
      read(plot, across, down);
      if (start === null) return;
      picked ||= make("div", plot, "picked");
      const [box, outer] = [frame.getBoundingClientRect(), plot.getBoundingClientRect()];
      Object.assign(picked.style, {
        left: `${box.left - outer.left + Math.min(start, across) * box.width}px`,
        width: `${Math.abs(across - start) * box.width}px`,
        top: `${box.top - outer.top}px`,
        height: `${box.height}px`,
      });
    });
    plot.addEventListener("pointerdown", (event) => {
      if (zooms && event.pointerType === "mouse" && event.button === 0 && !event.target.closest("a")) {
        start = place(event)[0];
        plot.setPointerCapture(event.pointerId);
        event.preventDefault();
      }
    });
    plot.addEventListener("pointerup", (event) => {
      if (start === null) return;
      const [from, to] = [Math.min(start, place(event)[0]), Math.max(start, place(event)[0])];
      const span = view[1] - view[0];
      start = null;
      picked?.remove();
      picked = null;
      if (to - from > 0.01) show(view[0] + from * span, view[0] + to * span);
    });
    plot.addEventListener("pointerleave", () => hush(plot));
    plot.addEventListener("blur", () => hush(plot));
    plot.addEventListener("dblclick", () => zooms && show(0, 1));
    plot.addEventListener("keydown", (event) => {
      if (event.target !== plot || event.ctrlKey || event.metaKey || event.altKey) return;
      const rows = plot.dataset.rows ? plot.dataset.rows.split("\n").length : 50;
      const [across, down] = plot.cursor || [0, 0.5 / rows];
      const stride = event.shiftKey ? 0.1 : 0.01;
      const moves = { ArrowLeft: [-stride, 0], ArrowRight: [stride, 0], ArrowUp: [0, -1 / rows], ArrowDown: [0, 1 / rows] };
      const centre = view[0] + across * (view[1] - view[0]);
      if (moves[event.key] && (plot.dataset.rows || !event.key.endsWith("p") && !event.key.endsWith("n"))) {
        read(plot, clamp(across + moves[event.key][0], 0, 1), clamp(down + moves[event.key][1], 0, 1 - 0.5 / rows), true);
      } else if (zooms && (event.key === "+" || event.key === "=")) zoom(0.5, centre);
      else if (zooms && event.key === "-") zoom(2, centre);
      else if (zooms && event.key === "0") show(0, 1);
      else if (event.key === "Escape") hush(plot);
      else return;
      event.preventDefault();
    });
  }

  const first = document.querySelector("#curves .curve");
  if (first) {
    const tools = document.createElement("p");
    tools.className = "tools";
    const middle = () => (view[0] + view[1]) / 2;
    const buttons = [["Zoom in", () => zoom(0.5, middle())], ["Zoom out", () => zoom(2, middle()), "reset"], ["Whole run", () => show(0, 1), "reset"]];
    for (const [name, act, style] of buttons) {
      const button = make("button", tools, style);
      button.type = "button";
      button.textContent = name;
      button.addEventListener("click", act);
    }
    tools.append("Drag across a chart to zoom. Click or tab to a chart and use the arrow keys to read it.");
    first.before(tools);
    for (const button of tools.querySelectorAll(".reset")) button.disabled = true;
  }
})();
