/** An evaluation: how often the right vehicle comes first, as figures and as the CMC curve. */
import { useState } from "preact/hooks";
import { count, percent, plural, time } from "../format.js";
import { html } from "../html.js";
import { LineChart, SHARE } from "./line_chart.js";
import { Icon } from "./icon.js";

const RANKS = { 20: [1, 5, 10, 15, 20], 50: [1, 10, 20, 30, 40, 50] };

/** @param evaluation what `GET /metrics` or the report of a job `evaluate` has. */
export function Evaluation({ evaluation }) {
  return html`
    <div class="evaluation">
      <${EvaluationFigures} evaluation=${evaluation} />
      ${evaluation.cmc_curve && html`<${CmcCurve} evaluation=${evaluation} />`}
    </div>
    <${On} evaluation=${evaluation} />
    ${evaluation.warnings?.map((text) => html`<p class="note warn" key=${text}><${Icon} name="warning" />${text}</p>`)}
  `;
}

function EvaluationFigures({ evaluation: { cmc, map, minp, intervals = {} } }) {
  return html`
    <dl class="figure-tiles">
      <${Tile} name="Rank 1" value=${cmc["1"]} interval=${intervals?.cmc1}
        help="The nearest record shows the right vehicle" isFirst />
      <${Tile} name="Rank 5" value=${cmc["5"]} help="It is among the nearest five" />
      <${Tile} name="Rank 10" value=${cmc["10"]} help="It is among the nearest ten" />
      <${Tile} name="mAP" value=${map} interval=${intervals?.map}
        help="Mean average precision: are all its records near the top?" />
      <${Tile} name="mINP" value=${minp} help="Mean inverse negative penalty: how far down is its last record?" />
    </dl>
  `;
}

function Tile({ name, value, interval, help, isFirst }) {
  if (value === undefined || value === null) return null;
  return html`
    <div class=${isFirst ? "figure-tile first" : "figure-tile"} title=${help}>
      <dt>${name}</dt>
      <dd class="figures">
        <strong>${percent(value)}</strong>
        ${interval && html`<span class="small faint">${percent(interval[0])} – ${percent(interval[1])}</span>`}
      </dd>
    </div>
  `;
}

export function CmcCurve({ evaluation: { cmc_curve: curve, intervals } }) {
  const [most, setMost] = useState(20);
  // The curve ends where it is 1, and stays there.
  const points = Array.from({ length: most }, (_, index) => [index + 1, curve[index] ?? 1]);
  const lowest = Math.min(curve[0], intervals?.cmc1?.[0] ?? 1);
  const min = Math.max(0, Math.floor(10 * lowest - 0.5) / 10);
  const step = 1 - min > 0.5 ? 0.2 : 0.1;
  const ticks = [];
  for (let tick = 1; tick > min - 1e-9; tick -= step) ticks.push(tick);
  return html`
    <div class="stack tight">
      <div class="row spread">
        <h3>CMC curve</h3>
        <div class="row" role="group" aria-label="Ranks that are shown">
          ${Object.keys(RANKS).map(Number).map((number) => html`
            <button key=${number} class="button small-button" aria-pressed=${number === most}
              onClick=${() => setMost(number)}>
              to ${number}
            </button>
          `)}
        </div>
      </div>
      <${LineChart}
        label=${`CMC curve: ${[1, 5, 10].map((rank) => `${percent(curve[rank - 1] ?? 1)} at rank ${rank}`).join(", ")}`}
        x=${{ label: "Rank", min: 1, max: most, ticks: RANKS[most], format: String }}
        y=${{ ...SHARE, label: "Share of queries with the right vehicle up to this rank", min, ticks }}
        lines=${[{ name: "CMC", points, interval: intervals?.cmc1 && [1, ...intervals.cmc1], hasDots: most === 20 }]} />
    </div>
  `;
}

function On({ evaluation: one }) {
  const parts = [
    one.dataset && `Data set ${one.dataset}`,
    `${plural(one.num_queries, "query", "queries")} for ${plural(one.num_query_identities, "vehicle")}`,
    `in a gallery of ${count(one.num_gallery)}`,
    one.refinement && "re-ranked",
    one.precision && `${one.precision} on ${one.device}`,
    one.evaluated_at && time(one.evaluated_at),
  ];
  const note =
    one.intervals && "Ranges are 95 % intervals: where the figure would lie for other vehicles of this kind.";
  return html`<p class="small soft figures">${parts.filter(Boolean).join(" · ")}<br />${note}</p>`;
}
