// Keeps the page current without touching what someone is typing. The page is
// complete without this file.
(() => {
  const main = document.querySelector('main');
  const live = document.getElementById('live');
  const said = document.getElementById('said');
  const headline = () => document.getElementById('headline').textContent;
  const longestWait = 60000;
  let stream, due, wait = 1000, missed = false;

  if (location.search) history.replaceState(null, '', location.pathname); // a reload must not repeat "saved"

  // A form someone is in, or has changed, stays as it is.
  const inUse = (section) => section.querySelector('textarea') && (section.contains(document.activeElement) ||
    [...section.querySelectorAll('textarea, input')].some((f) => f.value !== f.defaultValue || f.checked !== f.defaultChecked));

  // Sections that did not change are left where they are, and with them focus and pictures.
  function swap(fresh) {
    const before = headline();
    const focused = document.activeElement;
    const home = focused.closest('main section');
    const next = [...fresh.children].map((section) => {
      const old = document.getElementById(section.id);
      const keep = old && (old.isEqualNode(section) || (inUse(old) && section.querySelector('textarea')));
      return keep ? old : section;
    });
    for (const old of [...main.children]) if (!next.includes(old)) old.remove();
    let place = main.firstElementChild;
    for (const section of next) {
      if (section === place) place = place.nextElementSibling;
      else main.insertBefore(section, place);
    }
    if (home && !focused.isConnected) document.querySelector(`#${home.id} ${focused.localName}`)?.focus({ preventScroll: true });
    main.className = fresh.className;
    document.title = headline() + ' · Doorstep';
    if (headline() !== before) said.textContent = headline();
    if (!fresh.dataset.events && main.dataset.events) stop();
  }

  async function refresh() {
    due = 0;
    try {
      const answer = await fetch(location.pathname, { cache: 'no-store' });
      if (answer.status === 404) return location.reload(); // the link has ended; the server says so kindly
      if (!answer.ok) throw answer.status;
      swap(new DOMParser().parseFromString(await answer.text(), 'text/html').querySelector('main'));
    } catch {
      retry(later);
    }
  }

  // A burst of events is one refresh, and not everyone's at the same moment.
  function later() {
    due = due || setTimeout(refresh, 300 + 700 * Math.random());
  }

  function retry(what) {
    if (!main.dataset.events) return;
    setTimeout(what, wait * (0.5 + Math.random()));
    wait = Math.min(wait * 2, longestWait);
  }

  function stop() {
    stream.close();
    delete main.dataset.events;
    live.textContent = '';
  }

  function listen() {
    stream = new EventSource(main.dataset.events);
    stream.onopen = () => {
      wait = 1000;
      live.textContent = live.dataset.live;
      if (missed) later();
      missed = false;
    };
    stream.onmessage = later;
    stream.onerror = () => {
      missed = true;
      live.textContent = live.dataset.lost;
      if (stream.readyState === EventSource.CLOSED) retry(listen); // else the browser retries by itself
    };
  }

  if (!main.dataset.events) return;
  listen();
  document.addEventListener('visibilitychange', () => {
    if (!document.hidden && main.dataset.events) later();
  });
})();
