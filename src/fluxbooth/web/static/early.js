// What is typed before the page's own script has started, which takes a while on a slow line. This one is no module, so it runs before there is a field;
// keep.js takes up what it noted, in this load or after a reload.

addEventListener("input", ({ target: { form, name, type, value, checked } }) => {
  if (!form?.dataset.keeps || form.dataset.started || !name || ["file", "hidden", "password"].includes(type)) return;
  const place = `early:${document.body.dataset.account}:${location.pathname}${location.search}`;
  try {
    const noted = JSON.parse(sessionStorage.getItem(place)) ?? {};
    sessionStorage.setItem(place, JSON.stringify({ ...noted, [name]: type === "checkbox" ? checked : value }));
  } catch { /* a browser that holds nothing: the field itself still does */ }
});
