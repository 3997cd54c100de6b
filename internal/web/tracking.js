// Keeps the page current without touching what someone is typing. The page is
// complete without this file.
(() => {
  const main = document.querySelector('main');
  const live = document.getElementById('live');
  const said = document.getElementById('said');
  const headline = () => document.getElementById('headline').textContent;
  const longestWait = 60000;
  let stream, due, wait = 1000, missed = false, sending = false;

  // A reload must not repeat "saved", nor a form that was refused.
  const here = main.dataset.page;
  if (here) history.replaceState(null, '', here + location.hash);

  // A form someone is in, or has changed, stays as it is.
  const inUse = (section) => section.querySelector('textarea') && (section.contains(document.activeElement) ||
    [...section.querySelectorAll('textarea, input')].some((f) => f.value !== f.defaultValue || f.checked !== f.defaultChecked));

  // Sections that did not change are left where they are, and with them focus and pictures. What was
  // sent is not kept: the answer has it.
  function swap(page, sent) {
    const fresh = page.querySelector('main');
    const before = headline();
    const focused = document.activeElement;
    const home = focused.closest('main section');
    // What the last form was told stays to be read.
    const told = sent ? null : main.querySelector('.notice');
    if (told) fresh.querySelector('h1').before(told.cloneNode(true));
    const next = [...fresh.children].map((section) => {
      const old = document.getElementById(section.id);
      for (const fold of sent === old ? [] : section.querySelectorAll('details')) {
        if (document.getElementById(fold.id)?.open) fold.open = true;
      }
      const keep = old && (old.isEqualNode(section) || (old !== sent && inUse(old) && section.querySelector('textarea')));
      // The talk goes on beside what is being typed.
      const talk = keep && section.querySelector('.talk');
      if (talk) old.querySelector('.talk')?.remove(), old.querySelector('details')?.before(talk);
      return keep ? old : section;
    });
    for (const old of [...main.children]) if (!next.includes(old)) old.remove();
    let place = main.firstElementChild;
    for (const section of next) {
      if (section === place) place = place.nextElementSibling;
      else main.insertBefore(section, place);
    }
    const wrong = sent && main.querySelector('[aria-invalid]');
    if (wrong) wrong.focus();
    else if (home && !focused.isConnected) document.querySelector(`#${home.id} :is(${focused.localName}, summary)`)?.focus({ preventScroll: true });
    main.className = fresh.className;
    document.title = page.title;
    const notice = sent && main.querySelector('.notice');
    if (notice) {
      said.textContent = notice.textContent;
      if (!wrong) notice.scrollIntoView({ block: 'center' });
    } else if (headline() !== before) said.textContent = headline();
    if (!fresh.dataset.events && main.dataset.events) stop();
  }

  const read = async (answer) => new DOMParser().parseFromString(await answer.text(), 'text/html');

  // Forms are sent from here, so that the page stays where it is; when that fails, by the browser.
  main.addEventListener('submit', async (event) => {
    const form = event.target;
    event.preventDefault();
    if (sending) return;
    sending = true;
    try {
      const answer = await fetch(form.action, { method: 'POST', body: new URLSearchParams(new FormData(form)) });
      const page = await read(answer);
      if (answer.status === 404 || !page.querySelector('main')) throw answer.status;
      swap(page, form.closest('section'));
    } catch {
      form.submit();
    }
    sending = false;
  });

  async function refresh() {
    due = 0;
    try {
      const answer = await fetch(here, { cache: 'no-store' });
      // The link has ended; the server says so kindly.
      if (answer.status === 404) return location.reload();
      if (!answer.ok) throw answer.status;
      swap(await read(answer));
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
      // Else the browser retries by itself.
      if (stream.readyState === EventSource.CLOSED) retry(listen);
    };
  }

  if (!main.dataset.events) return;
  listen();
  document.addEventListener('visibilitychange', () => {
    if (!document.hidden && main.dataset.events) later();
  });
})();
