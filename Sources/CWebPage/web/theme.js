// Before anything is painted: whether the application runs, in whose place the document has what is read without it; and the colours that
// were chosen here the last time. A script of its own, so that none stands in the document.
(() => {
  if ("noModule" in HTMLScriptElement.prototype) document.documentElement.classList.add("scripted");
  try {
    const chosen = localStorage.getItem("skein-theme");
    if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
  } catch {
    // Storage is switched off: the system's colours.
  }
})();
