// Puts what has changed into its place, opens dialogs instead of pages that ask, and says when nothing comes any more.
'use strict';

const byId = (id) => document.getElementById(id);
const lost = byId('lost');

function put(event) {
  const { run, places } = JSON.parse(event.data);
  if (run !== document.body.dataset.run) {
    // Another run answers at this address: its forms have another key.
    location.reload();
    return;
  }
  lost.hidden = true;
  for (const [id, html] of Object.entries(places)) {
    const place = byId(id);
    const focused = place.contains(document.activeElement) ? document.activeElement.dataset.opens : undefined;
    place.innerHTML = html;
    if (focused) {
      // Whoever is at a button stays there, or comes to the one that has taken its place.
      (place.querySelector(`[data-opens="${focused}"]`) ?? place.querySelector('a'))?.focus();
    }
  }
}

function watch() {
  const source = new EventSource('/events');
  source.addEventListener('view', put);
  source.addEventListener('end', (event) => {
    source.close();
    put(event);
    document.querySelectorAll('dialog[open]').forEach((dialog) => dialog.close());
  });
  source.addEventListener('error', () => {
    lost.hidden = false;
    // A connection that breaks is opened again by itself, an answer that is none is not.
    if (source.readyState === EventSource.CLOSED) {
      setTimeout(watch, 2000);
    }
  });
}

document.addEventListener('click', (event) => {
  const dialog = byId(event.target.closest?.('[data-opens]')?.dataset.opens);
  if (dialog) {
    event.preventDefault();
    dialog.showModal();
  }
});

document.addEventListener('keydown', (event) => {
  if (event.key === ' ' && event.target.matches?.('a[role=button]')) {
    event.preventDefault();
    event.target.click();
  }
});

watch();
