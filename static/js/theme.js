/** The colour theme: the system's, unless this viewer chose one. Runs before the first paint, so no module. */
(() => {
  const KEY = 'theme';
  const root = document.documentElement;
  const dark = matchMedia('(prefers-color-scheme: dark)');

  const chosen = () => {
    try {
      return localStorage.getItem(KEY);
    } catch {
      return null; // storage may be switched off; the choice then lasts for this page
    }
  };
  const current = () => root.dataset.theme ?? (dark.matches ? 'dark' : 'light');
  /** Choosing what the system has anyway means: follow the system again. @param {string} theme */
  const choose = (theme) => {
    const asSystem = theme === (dark.matches ? 'dark' : 'light');
    if (asSystem) delete root.dataset.theme;
    else root.dataset.theme = theme;
    try {
      if (asSystem) localStorage.removeItem(KEY);
      else localStorage.setItem(KEY, theme);
    } catch {
      // nothing to keep it in
    }
  };
  const first = chosen();
  if (first === 'dark' || first === 'light') root.dataset.theme = first;

  addEventListener('DOMContentLoaded', () => {
    const button = document.getElementById('theme');
    if (!button) return;
    const say = () => button.setAttribute('aria-pressed', String(current() === 'dark'));
    button.addEventListener('click', () => {
      choose(current() === 'dark' ? 'light' : 'dark');
      say();
    });
    dark.addEventListener('change', say);
    say();
  });
})();
