/** The colour theme: the system's, unless this viewer chose one. Runs before the first paint, so no module. */
(() => {
  const KEY = 'theme';
  const root = document.documentElement;
  const dark = matchMedia('(prefers-color-scheme: dark)');
  let button;

  const current = () => root.dataset.theme ?? (dark.matches ? 'dark' : 'light');
  const say = () => button?.setAttribute('aria-pressed', String(current() === 'dark'));
  /** Take a theme; anything else means: the system's. @param {string | null} theme */
  const take = (theme) => {
    if (theme === 'dark' || theme === 'light') root.dataset.theme = theme;
    else delete root.dataset.theme;
    say();
  };
  /** Run what needs storage; it may be switched off: a choice then lasts for this page. @param {() => void} act */
  const storing = (act) => {
    try {
      act();
    } catch {}
  };
  storing(() => take(localStorage.getItem(KEY)));

  addEventListener('DOMContentLoaded', () => {
    button = document.getElementById('theme');
    button?.addEventListener('click', () => {
      const theme = current() === 'dark' ? 'light' : 'dark';
      // Choosing what the system has anyway means: follow the system again.
      const own = theme !== (dark.matches ? 'dark' : 'light');
      take(own ? theme : null);
      storing(() => (own ? localStorage.setItem(KEY, theme) : localStorage.removeItem(KEY)));
    });
    dark.addEventListener('change', say);
    // Another tab of this browser chose.
    addEventListener('storage', ({ key }) => key === KEY && storing(() => take(localStorage.getItem(KEY))));
    say();
  });
})();
