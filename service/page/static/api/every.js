/** Does something again and again, as long as the page is looked at. */
import { useEffect, useRef } from "preact/hooks";

/** Calls `run` every `milliseconds` while the page is visible, and at once when it becomes so; never if it is null. */
export function useEvery(milliseconds, run) {
  const latest = useRef(run);
  latest.current = run;
  useEffect(() => {
    if (milliseconds === null) return;
    const tick = () => document.visibilityState === "visible" && latest.current();
    const timer = setInterval(tick, milliseconds);
    document.addEventListener("visibilitychange", tick);
    return () => {
      clearInterval(timer);
      document.removeEventListener("visibilitychange", tick);
    };
  }, [milliseconds]);
}
