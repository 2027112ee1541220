// Before and after: a slider over two pictures, wherever on the page it stands.

document.addEventListener("input", (event) => {
  const figure = event.target.closest("[data-compare]");
  if (figure) figure.style.setProperty("--at", `${event.target.value}%`);
});
