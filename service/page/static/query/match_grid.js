/** The matches as cards in the order of their rank; arrow keys move between them. */
import { useEffect, useRef, useState } from "preact/hooks";
import { html } from "../html.js";
import { byArrowKey } from "../parts/arrow_keys.js";
import { useStore } from "../store.js";
import { IdentityDialog } from "./identity_dialog.js";
import { judge, judgements, judgementsOf } from "./judgements.js";
import { MatchCard } from "./match_card.js";

export function MatchGrid({ answer, onOpen }) {
  const judged = judgementsOf(useStore(judgements), answer);
  const [current, setCurrent] = useState(1);
  const [named, setNamed] = useState(null);
  const list = useRef(null);
  const actions = useRef(null);
  useEffect(() => setCurrent(1), [answer.subject]);
  const judgeMatch = (match, judgement) => judge(answer, match.id, judgement);
  actions.current = { judge: judgeMatch, open: onOpen, name: setNamed, setCurrent };
  const onKeyDown = (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const cards = [...list.current.children];
    const card = event.target.closest(".match");
    const match = answer.matches[cards.indexOf(card)];
    const next = byArrowKey(event.key, cards, cards.indexOf(card));
    const key = event.key.toLowerCase();
    if (next) next.querySelector(".match-open").focus();
    else if (event.repeat) return; // a judgement is taken back by its key: held down, it would come and go
    else if (key === "r") judgeMatch(match, "right");
    else if (key === "w") judgeMatch(match, "wrong");
    else if (key === "i") setNamed(match);
    else return;
    event.preventDefault();
  };
  return html`
    <ol class="matches" ref=${list} aria-label="Matches" onKeyDown=${onKeyDown}>
      ${answer.matches.map(
        (match) => html`
          <${MatchCard} key=${match.id} match=${match} judgement=${judged[match.id]} isCurrent=${match.rank === current}
            actions=${actions} />
        `,
      )}
    </ol>
    ${named && html`<${IdentityDialog} match=${named} answer=${answer} onClose=${() => setNamed(null)} />`}
  `;
}
