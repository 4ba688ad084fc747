(() => {
  "use strict";
  const height = 280; // CSS pixels, of the plot with its axes
  const paperWidth = 640; // CSS pixels that A4 has room for
  const markRow = 15; // CSS pixels from one name of a mark to the next
  const hint = "Point at the chart, or go there by Tab and press the arrow keys, to read its figures.";
  const root = document.documentElement;
  const figures = [...document.querySelectorAll(".chart")];
  const drawn = new Map(); // figure: its plot
  const ink = (name) => getComputedStyle(root).getPropertyValue(name).trim();
  const font = "12px system-ui, sans-serif";

  const units = [[1e9, "s"], [1e6, "ms"], [1e3, "µs"], [1, "ns"]];
  const unitOf = (ns) => units.find(([size]) => Math.abs(ns) >= size * 0.9995) ?? units[3];
  const time = (ns) => {
    const [size, name] = unitOf(ns);
    const v = ns / size;
    const digits = v < 9.995 ? 2 : v < 99.95 ? 1 : 0;
    return `${v.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits })} ${name}`;
  };
  const tickTime = (ns) => {
    const [size, name] = unitOf(ns);
    return `${Number((ns / size).toPrecision(4))} ${name}`;
  };

  // The least of 1, 2, 5 times a power of ten that is no smaller.
  const nice = (v) => {
    const power = 10 ** Math.floor(Math.log10(v));
    return power * [1, 2, 5, 10].find((m) => m * power >= v * 0.999);
  };
  const steps = (low, high, step) => {
    const ticks = [];
    for (let i = Math.ceil(low / step); i * step <= high; i++) {
      ticks.push(i * step);
    }
    return ticks;
  };
  const fromZero = (u, min, max, data) => [0, max / (1 - (markRow * (data.marks ?? []).length + 10) / (height - 70))];

  // Ticks between two logarithms of nanoseconds.
  const logTicks = (low, high) => {
    const ticks = [];
    for (let power = Math.floor(low); power <= high; power++) {
      for (const m of [1, 2, 5]) {
        ticks.push(power + Math.log10(m));
      }
    }
    const inside = ticks.filter((at) => at >= low && at <= high);
    if (inside.length > 8) {
      return inside.filter((at) => Number.isInteger(at));
    }
    if (inside.length > 2) {
      return inside;
    }
    return steps(10 ** low, 10 ** high, nice((10 ** high - 10 ** low) / 5)).filter((ns) => ns > 0).map(Math.log10);
  };

  // What an axis of each kind has: its range, its ticks and what they are called. One
  // that goes upward tells its values in words.
  const kinds = {
    latency: {
      range: (u, min, max) => {
        const room = Math.max(0.06 * (max - min), 0.01);
        return [min - room, max + room];
      },
      splits: (u, axis, low, high) => logTicks(low, high),
      values: (u, ticks) => ticks.map((at) => tickTime(10 ** at)),
      tell: time,
    },
    count: {
      range: fromZero,
      splits: (u, axis, low, high) => steps(0, high, Math.max(1, nice(high / 5))),
      values: (u, ticks) => ticks.map(kinds.count.tell),
      tell: (n) => n.toLocaleString("en"),
    },
    share: {
      range: fromZero,
      splits: (u, axis, low, high) => steps(0, high, nice(high / 5)),
      values: (u, ticks) => ticks.map(kinds.share.tell),
      tell: (ratio) => `${Number((100 * ratio).toPrecision(3))} %`,
    },
    restart: {
      range: (u, min, max) => [min - 0.5, max + 0.5],
      splits: (u, axis, low, high) => steps(low, high, Math.max(1, nice((high - low) * 60 / u.width))),
      values: (u, ticks) => ticks.map(String),
    },
    tail: {
      range: (u, min, max) => [0, max],
      splits: (u, axis, low, high, data) => data.x.ticks.map((t) => t.at).filter((at) => at <= high),
      values: (u, ticks, data) => ticks.map((at) => data.x.ticks.find((t) => t.at === at).name),
    },
    named: {
      range: (u, min, max) => {
        const room = Math.max(0.04 * (max - min), 0.1);
        return [min - room, max + room];
      },
      splits: (u, axis, low, high, data) => {
        const every = Math.ceil(data.x.ticks.length * 64 / u.width);
        return data.x.ticks.map((t) => t.at).filter((_, i) => i % every === 0);
      },
      values: (u, ticks, data) => ticks.map((at) => data.x.ticks.find((t) => t.at === at).name),
    },
  };

  // Steps that change between two bars. uPlot's own change at one of them.
  const outline = (u, series, first, last) => {
    const [xs, ys] = [u.data[0], u.data[series]];
    const [x, y] = [(at) => u.valToPos(at, "x", true), (v) => u.valToPos(v, "y", true)];
    const half = xs.length > 1 ? (xs[1] - xs[0]) / 2 : 0;
    const path = new Path2D();
    path.moveTo(x(xs[first] - half), y(0));
    for (let i = first; i <= last; i++) {
      path.lineTo(x(xs[i] - half), y(ys[i]));
      path.lineTo(x(xs[i] + half), y(ys[i]));
    }
    path.lineTo(x(xs[last] + half), y(0));
    return { stroke: path, fill: null, clip: null, band: null, gaps: null, flags: 1 };
  };

  const scaleOf = (form, data) => ({
    time: false,
    range: (u, min, max) => min === null || min === undefined ? [0, 1] : kinds[form.kind].range(u, min, max, data),
  });

  const axisOf = (form, data, size) => ({
    label: form.name,
    labelFont: font,
    labelSize: 20,
    font,
    size,
    stroke: () => ink("--chart-text"),
    grid: { stroke: () => ink("--chart-grid"), width: 1 },
    ticks: { stroke: () => ink("--chart-grid"), width: 1, size: 5 },
    splits: (u, axis, low, high) => kinds[form.kind].splits(u, axis, low, high, data),
    values: (u, ticks) => kinds[form.kind].values(u, ticks, data),
  });

  // Of bars that lie over each other those of a dashed line are drawn as an outline,
  // and the others so that it is seen through them.
  const seriesOf = (line, data) => {
    const filled = data.bars && !line.dashed;
    const colour = () => ink(data.bars && data.lines.length === 1 ? "--chart-bar" : `--line-${line.key}`);
    return {
      label: line.name,
      show: !line.off,
      stroke: colour,
      fill: !filled ? undefined : data.lines.length === 1 ? colour : () => `${colour()}80`,
      paths: filled ? uPlot.paths.bars({ size: [0.9, Infinity] }) : data.bars ? outline : undefined,
      width: filled ? 0 : 2,
      dash: line.dashed ? [7, 5] : undefined,
      points: {
        show: !data.bars && data.x.kind !== "tail",
        size: 6,
        fill: () => ink(`--line-${line.key}`),
      },
    };
  };

  // Bands behind what is tainted.
  const drawTaint = (u, data) => {
    u.ctx.save();
    u.ctx.fillStyle = ink("--tainted");
    for (const t of data.taint ?? []) {
      const left = u.valToPos(t.at - 0.5, "x", true);
      u.ctx.fillRect(left, u.bbox.top, u.valToPos(t.at + 0.5, "x", true) - left, u.bbox.height);
    }
    u.ctx.restore();
  };

  // Lines with their names at the top, one row below the other.
  const drawMarks = (u, data) => {
    const scale = uPlot.pxRatio;
    u.ctx.save();
    u.ctx.font = font.replace("12px", `${12 * scale}px`);
    u.ctx.textBaseline = "middle";
    (data.marks ?? []).forEach((mark, row) => {
      const x = u.valToPos(Math.log10(mark.at), "x", true);
      if (x < u.bbox.left || x > u.bbox.left + u.bbox.width) {
        return;
      }
      const y = u.bbox.top + (row + 0.6) * markRow * scale;
      u.ctx.strokeStyle = u.ctx.fillStyle = ink(mark.mode ? "--mode" : "--chart-text");
      u.ctx.lineWidth = (mark.mode ? 2 : 1) * scale;
      u.ctx.setLineDash(mark.mode ? [] : [2 * scale, 3 * scale]);
      u.ctx.beginPath();
      u.ctx.moveTo(x, y);
      u.ctx.lineTo(x, u.bbox.top + u.bbox.height);
      u.ctx.stroke();
      const before = x > u.bbox.left + 0.6 * u.bbox.width;
      u.ctx.textAlign = before ? "right" : "left";
      u.ctx.fillText(mark.name, x + (before ? -5 : 5) * scale, y);
    });
    u.ctx.restore();
  };

  // Where the reader is along x, in words.
  const placeOf = (data, i) => {
    const at = data.at[i];
    switch (data.x.kind) {
      case "tail":
        return `p${Number((100 * (1 - 10 ** -at)).toFixed(Math.max(0, Math.ceil(at) - 1)))}`;
      case "latency":
        return time(at);
      case "restart": {
        const tainted = (data.taint ?? []).find((t) => t.at === at);
        return `restart ${at}${tainted ? `, tainted by ${tainted.name}` : ""}`;
      }
    }
    return data.x.ticks[i].name;
  };

  // What stands below a chart that is not being read: how to, once.
  const atRest = (figure) => figure === figures[0] ? hint : "";

  const tell = (u, data, figure) => {
    const i = u.cursor.idx;
    const readout = figure.querySelector(".readout");
    if (i === null || i === undefined) {
      readout.textContent = atRest(figure);
      return;
    }
    const said = data.lines
      .filter((line, n) => u.series[n + 1].show && line.points[i] !== null)
      .map((line) => `${line.name} ${kinds[data.y.kind].tell(line.points[i])}`);
    readout.textContent = `${placeOf(data, i)}: ${said.join(", ") || "nothing"}`;
  };

  // The arrow keys do what the pointer does.
  const byKeyboard = (u, plot) => {
    const last = u.data[0].length - 1;
    plot.addEventListener("keydown", (event) => {
      const at = u.cursor.idx;
      const to = {
        ArrowRight: Math.min((at ?? -1) + 1, last),
        ArrowLeft: Math.max((at ?? last + 1) - 1, 0),
        Home: 0,
        End: last,
      }[event.key];
      if (to === undefined) {
        return;
      }
      event.preventDefault();
      u.setCursor({ left: u.valToPos(u.data[0][to], "x"), top: u.over.clientHeight / 2 });
    });
    plot.addEventListener("blur", () => u.setCursor({ left: -10, top: -10 }));
  };

  const draw = (figure, width) => {
    const data = JSON.parse(figure.dataset.chart);
    const plot = figure.querySelector(".drawn");
    const logarithms = (numbers) => numbers.map((v) => v === null ? null : Math.log10(v));
    const along = data.x.kind === "latency" ? logarithms(data.at) : data.at;
    const lines = data.lines.map((line) => data.y.kind === "latency" ? logarithms(line.points) : line.points);
    const u = new uPlot({
      width: width || plot.clientWidth,
      height,
      padding: [8, 24, 0, 0],
      legend: { show: false },
      cursor: { y: false, drag: { x: false, y: false, setScale: false } },
      scales: { x: scaleOf(data.x, data), y: scaleOf(data.y, data) },
      axes: [axisOf(data.x, data, 34), axisOf(data.y, data, 62)],
      series: [{}, ...data.lines.map((line) => seriesOf(line, data))],
      hooks: {
        drawClear: [(u) => drawTaint(u, data)],
        draw: [(u) => drawMarks(u, data)],
        setCursor: [(u) => tell(u, data, figure)],
      },
    }, [along, ...lines], plot);
    byKeyboard(u, plot);
    for (const button of figure.querySelectorAll(".keys button")) {
      button.addEventListener("click", () => {
        const show = button.getAttribute("aria-pressed") !== "true";
        button.setAttribute("aria-pressed", String(show));
        u.setSeries(Number(button.dataset.line) + 1, { show });
      });
    }
    drawn.set(figure, u);
    figure.dataset.drawn = "";
  };

  const resize = (figure, width) => {
    const u = drawn.get(figure);
    if (u !== undefined && width > 0 && width !== u.width) {
      u.setSize({ width, height });
    }
  };

  // Only what comes into sight is drawn: a page of many opens as fast as one of few.
  const sight = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      if (isIntersecting && !drawn.has(target)) {
        draw(target, 0);
      }
    }
  }, { rootMargin: "200px" });
  const sizes = new ResizeObserver((entries) => entries.forEach(({ target }) => resize(target, target.clientWidth)));
  for (const figure of figures) {
    // All have their room from the start, so that nothing moves under a reader.
    figure.hidden = false;
    for (const part of figure.querySelectorAll(".drawn, .readout, .keys")) {
      part.hidden = false;
    }
    for (const part of figure.querySelectorAll(".still")) {
      part.hidden = true;
    }
    figure.querySelector(".readout").textContent = atRest(figure);
    sight.observe(figure);
    sizes.observe(figure);
  }

  const recolour = () => drawn.forEach((u) => u.redraw(false));
  for (const medium of ["(prefers-color-scheme: dark)", "print"]) {
    matchMedia(medium).addEventListener("change", recolour);
  }
  window.addEventListener("beforeprint", () => {
    root.dataset.paper = "";
    for (const figure of figures) {
      if (drawn.has(figure)) {
        resize(figure, paperWidth);
      } else {
        draw(figure, paperWidth);
      }
    }
    recolour();
  });
  window.addEventListener("afterprint", () => {
    delete root.dataset.paper;
    figures.forEach((figure) => resize(figure, figure.clientWidth));
    recolour();
  });
})();
