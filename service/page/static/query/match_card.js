/** One match: how it looks, how near it is, what is known of it, and what the user says of it. */
import { useMemo } from "preact/hooks";
import { distance, place, probability, time } from "../format.js";
import { html } from "../html.js";
import { Icon } from "../parts/icon.js";
import { Picture } from "../parts/picture.js";

/**
 * @param isCurrent whether Tab stops here; only one card of the grid is such a stop.
 * @param actions a reference to `{judge, open, name, setCurrent}`: always the newest, so that unchanged cards are not
 *   drawn again.
 */
export function MatchCard({ match, judgement, isCurrent, actions }) {
  return useMemo(() => card({ match, judgement, isCurrent, actions }), [match, judgement, isCurrent]);
}

function card({ match, judgement, isCurrent, actions }) {
  const name = match.identity ?? "No identity";
  const facts = [match.camera, time(match.captured_at), place(match.latitude, match.longitude)];
  const more = facts.filter(Boolean).join(" · ");
  const rankedBy = match.ranked_by === null ? "" : ` · ranked by ${distance(match.ranked_by)}`;
  const tabIndex = isCurrent ? 0 : -1;
  return html`
    <li class=${`match ${judgement ?? ""}`} onFocusIn=${() => actions.current.setCurrent(match.rank)}>
      <button class="match-open" tabindex=${tabIndex} aria-label=${`Match ${match.rank}: ${name}. Open`}
        onClick=${() => actions.current.open(match.rank)}>
        <${Picture} path=${match.image_url} alt="" />
        <${Picture} path=${match.aligned_url} alt="" />
        <span class="match-rank figures">${match.rank}</span>
      </button>
      <div class="match-text">
        <div class="match-line">
          <span class=${match.identity ? "match-name truncate" : "truncate faint"} title=${name}>${name}</span>
          ${match.probability !== null && html`<strong class="figures">${probability(match.probability)}</strong>`}
        </div>
        <${ProbabilityBar} value=${match.probability} />
        <p class="small soft figures truncate">distance ${distance(match.distance)}${rankedBy}</p>
        ${more && html`<p class="small soft truncate" title=${more}>${more}</p>`}
        ${match.source && html`<p class="small faint truncate" title=${match.source}>${match.source}</p>`}
      </div>
      <div class="match-actions">
        <${JudgeButtons} name=${`match ${match.rank}`} judgement=${judgement} tabIndex=${tabIndex}
          onJudge=${(value) => actions.current.judge(match, value)} />
        <button class="button icon plain" tabindex=${tabIndex} aria-label=${`Identity of match ${match.rank}`}
          title="Assign an identity (I)" onClick=${() => actions.current.name(match)}>
          <${Icon} name="pencil" size="18" />
        </button>
      </div>
    </li>
  `;
}

/** A bar as long as the probability; none where nobody knows it. */
export function ProbabilityBar({ value }) {
  if (value === null) return null;
  return html`<div class="progress slim"><div style=${{ "--share": `${100 * value}%` }}></div></div>`;
}

/** "Right" and "Wrong"; pressed again, a judgement is taken back. */
export function JudgeButtons({ name, judgement, onJudge, tabIndex = 0, withText = false }) {
  const button = (value, icon, label) => html`
    <button class=${`button ${withText ? "" : "icon plain"} judge ${value}`} tabindex=${tabIndex}
      aria-pressed=${judgement === value} aria-label=${`${label}: ${name}`} title=${`${label} (${label[0]})`}
      onClick=${() => onJudge(value)}>
      <${Icon} name=${icon} size="18" />${withText && label}
    </button>
  `;
  return html`${button("right", "check", "Right")}${button("wrong", "cross", "Wrong")}`;
}
