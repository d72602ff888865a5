/** The colour theme: the system's, unless this viewer chose one. Not a module, so that it runs before the first paint. */
(() => {
  const KEY = 'theme';
  const root = document.documentElement;
  const dark = matchMedia('(prefers-color-scheme: dark)');
  let button;

  const current = () => root.dataset.theme ?? (dark.matches ? 'dark' : 'light');
  const say = () => button?.setAttribute('aria-pressed', String(current() === 'dark'));
  /** Apply a theme; anything else means the system's. @param {string | null} theme */
  const take = (theme) => {
    if (theme === 'dark' || theme === 'light') root.dataset.theme = theme;
    else delete root.dataset.theme;
    say();
  };
  /** Run code that needs storage, which may be disabled: then a choice lasts until the page is closed. @param {() => void} act */
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
      // Choosing the system's theme means following the system again.
      const own = theme !== (dark.matches ? 'dark' : 'light');
      take(own ? theme : null);
      storing(() => (own ? localStorage.setItem(KEY, theme) : localStorage.removeItem(KEY)));
    });
    dark.addEventListener('change', say);
    // another tab of this browser has changed it
    addEventListener('storage', ({ key }) => key === KEY && storing(() => take(localStorage.getItem(KEY))));
    say();
  });
})();
