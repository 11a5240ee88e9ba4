/**
 * A chart of lines. An axis is `{label, min, max, ticks, format, isLog}`; a line is `{name, points: [[x, y], ..], tone,
 * hasDots, interval}`, its interval `[x, low, high]` an upright bar. Under the pointer the nearest values are said.
 */
import { useState } from "preact/hooks";
import { percent } from "../format.js";
import { html } from "../html.js";
import { useWidth } from "./use_width.js";

/** An axis of shares from none to all. */
export const SHARE = {
  min: 0,
  max: 1,
  ticks: [0, 0.25, 0.5, 0.75, 1],
  format: (value) => percent(value, 0),
  exact: percent,
};

const HEIGHT = 260;
const MARGIN = { left: 48, right: 16, top: 12, bottom: 42 };

export function LineChart({ label, x, y, lines, hasDiagonal = false }) {
  const [frame, width] = useWidth();
  const [at, setAt] = useState(null);
  const point = lines[0].points[at]; // none once the range is shorter, or while the pointer is elsewhere
  const toX = scale(x, MARGIN.left, width - MARGIN.right);
  const toY = scale(y, HEIGHT - MARGIN.bottom, MARGIN.top);
  const move = (event) => {
    const left = event.clientX - event.currentTarget.getBoundingClientRect().left;
    setAt(nearest(lines[0].points, (point) => Math.abs(toX(point[0]) - left)));
  };
  return html`
    <figure class="chart" ref=${frame}>
      ${width > 0 && html`
        <svg width=${width} height=${HEIGHT} role="img" aria-label=${label} onPointerMove=${move}
          onPointerLeave=${() => setAt(null)}>
          ${x.ticks.map((tick) => html`
            <g key=${`x${tick}`}>
              <line class="chart-grid" x1=${toX(tick)} x2=${toX(tick)} y1=${MARGIN.top} y2=${HEIGHT - MARGIN.bottom} />
              <text x=${toX(tick)} y=${HEIGHT - MARGIN.bottom + 16} text-anchor="middle">${x.format(tick)}</text>
            </g>
          `)}
          ${y.ticks.map((tick) => html`
            <g key=${`y${tick}`}>
              <line class="chart-grid" x1=${MARGIN.left} x2=${width - MARGIN.right} y1=${toY(tick)} y2=${toY(tick)} />
              <text x=${MARGIN.left - 8} y=${toY(tick) + 4} text-anchor="end">${y.format(tick)}</text>
            </g>
          `)}
          <text class="chart-axis" x=${width - MARGIN.right} y=${HEIGHT - 6} text-anchor="end">${x.label}</text>
          ${hasDiagonal && html`<line class="chart-diagonal" x1=${toX(x.min)} y1=${toY(y.min)} x2=${toX(x.max)}
            y2=${toY(y.max)} />`}
          ${lines.map((line) => html`<${Line} key=${line.name} line=${line} toX=${toX} toY=${toY} />`)}
          ${point && html`<${Guide} point=${point} toX=${toX} toY=${toY} />`}
        </svg>
      `}
      <figcaption class="small soft figures">${point ? said(point, x, y) : y.label}</figcaption>
    </figure>
  `;
}

function Line({ line: { points, tone = "accent", hasDots, interval }, toX, toY }) {
  const path = `M${points.map(([x, y]) => `${toX(x).toFixed(1)} ${toY(y).toFixed(1)}`).join("L")}`;
  return html`
    <g class=${`chart-line ${tone}`}>
      <path d=${path} />
      ${hasDots && points.map(([x, y], index) => html`<circle key=${index} cx=${toX(x)} cy=${toY(y)} r="3" />`)}
      ${interval && html`<${Interval} interval=${interval} toX=${toX} toY=${toY} />`}
    </g>
  `;
}

function Interval({ interval: [x, low, high], toX, toY }) {
  const [middle, bottom, top] = [toX(x), toY(low), toY(high)];
  return html`<path class="chart-interval"
    d=${`M${middle} ${bottom}V${top}M${middle - 4} ${bottom}h8M${middle - 4} ${top}h8`} />`;
}

function Guide({ point: [x, y], toX, toY }) {
  return html`
    <line class="chart-guide" x1=${toX(x)} x2=${toX(x)} y1=${MARGIN.top} y2=${HEIGHT - MARGIN.bottom} />
    <circle class="chart-point" cx=${toX(x)} cy=${toY(y)} r="4" />
  `;
}

function said([left, height], x, y) {
  return `${x.label} ${x.format(left)}: ${y.label.toLowerCase()} ${(y.exact ?? y.format)(height)}`;
}

function scale({ min, max, isLog }, start, end) {
  const position = isLog
    ? (value) => Math.log(value / min) / Math.log(max / min)
    : (value) => (value - min) / (max - min);
  return (value) => start + position(value) * (end - start);
}

function nearest(points, distance) {
  const distances = points.map(distance);
  return distances.indexOf(Math.min(...distances));
}
