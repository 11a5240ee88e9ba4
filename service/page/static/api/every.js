/** Does something again and again, as long as the page is looked at. */
import { useEffect, useRef } from "preact/hooks";

/**
 * Calls `run` every `milliseconds` while the page is visible, and at once when it becomes so; never if that is null.
 * Where it takes longer, the next call comes after it: a slow service is not asked again before it has answered.
 */
export function useEvery(milliseconds, run) {
  const latest = useRef(run);
  const isRunning = useRef(false);
  latest.current = run;
  useEffect(() => {
    if (milliseconds === null) return;
    const tick = async () => {
      if (document.visibilityState !== "visible" || isRunning.current) return;
      isRunning.current = true;
      try {
        await latest.current();
      } finally {
        isRunning.current = false;
      }
    };
    const timer = setInterval(tick, milliseconds);
    document.addEventListener("visibilitychange", tick);
    return () => {
      clearInterval(timer);
      document.removeEventListener("visibilitychange", tick);
    };
  }, [milliseconds]);
}
