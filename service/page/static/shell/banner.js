/** What keeps the whole page from working at the moment, in one line. */
import { useEffect, useState } from "preact/hooks";
import { busyUntil, connection } from "../api/connection.js";
import { html } from "../html.js";
import { Icon } from "../parts/icon.js";
import { useStore } from "../store.js";

const SENTENCES = {
  offline: "The service does not answer. This page goes on by itself as soon as it is back.",
  "not-ready": "The service is starting, or its device does not work. This page goes on once it is ready.",
};

export function Banner() {
  const state = useStore(connection);
  const until = useStore(busyUntil);
  const seconds = useSecondsTo(until);
  const sentence = SENTENCES[state] ?? (until && `The service is busy: trying again in ${seconds} s.`);
  if (!sentence) return null;
  return html`<p class="banner" role="status"><${Icon} name=${until ? "clock" : "offline"} />${sentence}</p>`;
}

function useSecondsTo(until) {
  const [, setTick] = useState(0);
  useEffect(() => {
    if (!until) return;
    const timer = setInterval(() => setTick((tick) => tick + 1), 500);
    return () => clearInterval(timer);
  }, [until]);
  return until && Math.max(0, Math.ceil((until - Date.now()) / 1000));
}
