/** The admin's theme is the one chosen on the site. The server doesn't draw its `<html>`, so this stands
 * in the head and runs before anything is painted. */

const chosen = /(?:^|; )dspex_theme=(light|dark)/.exec(document.cookie)?.[1];
if (chosen) document.documentElement.dataset.theme = chosen;
