/** The records of a group in a row: each is a button that takes it out of the group, or in again. */
import { useRef, useState } from "preact/hooks";
import { count, distance, time } from "../format.js";
import { html } from "../html.js";
import { byArrowKey } from "../parts/arrow_keys.js";
import { Icon } from "../parts/icon.js";
import { Picture } from "../parts/picture.js";
import { href } from "../route.js";

const FEW = 24;

/** @param onToggle called with an id; without it the crops are only shown. */
export function Crops({ members, left, onToggle, label }) {
  const list = useRef(null);
  const [current, setCurrent] = useState(0);
  const [all, setAll] = useState(false);
  const shown = all ? members : members.slice(0, FEW);
  const onKeyDown = (event) => {
    if (!["ArrowLeft", "ArrowRight", "Home", "End"].includes(event.key)) return;
    const crops = [...list.current.querySelectorAll(".group-crop")];
    const index = crops.indexOf(event.target);
    if (index < 0) return;
    event.preventDefault();
    byArrowKey(event.key, crops, index)?.focus();
  };
  return html`
    <ul class="group-crops" aria-label=${label} ref=${list} onKeyDown=${onToggle && onKeyDown}>
      ${shown.map(
        (member, index) => html`
          <${Crop} key=${member.id} member=${member} isOut=${left.has(member.id)} onToggle=${onToggle}
            reachable=${index === current} onReached=${() => setCurrent(index)} />
        `,
      )}
    </ul>
    ${members.length > FEW && html`
      <button class="button plain group-more" onClick=${() => setAll(!all)}>
        ${all ? "Fewer" : `Show all ${count(members.length)}`}
      </button>
    `}
  `;
}

function Crop({ member, isOut, onToggle, reachable, onReached }) {
  const { id, gone, identity, camera, captured_at, image_url } = member;
  const facts = gone ? ["deleted meanwhile"] : [identity, camera, time(captured_at)].filter(Boolean);
  const name = facts.join(", ") || "no identity";
  const picture = html`
    <${Picture} path=${gone ? null : image_url} alt="">
      ${gone && html`<span>Deleted</span>`}
      ${isOut && html`<span class="group-out"><${Icon} name="cross" size="28" /></span>`}
    <//>
  `;
  return html`
    <li class=${isOut ? "out" : gone ? "gone" : ""}>
      ${onToggle && !gone ? html`
        <button class="group-crop" type="button" aria-pressed=${String(!isOut)} tabindex=${reachable ? 0 : -1}
          aria-label=${`${name}: ${isOut ? "taken out" : "in the group"}`} title=${isOut ? "Take in again" : "Take out"}
          onClick=${() => onToggle(id)} onFocus=${onReached}>${picture}</button>
      ` : html`<div role="img" aria-label=${name}>${picture}</div>`}
      <a class="small truncate" href=${gone ? null : href("gallery", id)} title=${name} tabindex=${onToggle ? -1 : 0}>
        ${identity ?? camera ?? "record"}
      </a>
      <span class="small faint figures">${distance(member.distance)}</span>
    </li>
  `;
}
