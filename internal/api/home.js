// Shows the last videos of the key that is typed in, or that follows # in the
// address: browsers never send that part to a server.
const form = document.getElementById("key-form"), key = document.getElementById("key"), statusText = document.getElementById("status"), videos = document.getElementById("videos");
const limit = 6;

function figure(v) {
  const player = document.createElement("video");
  Object.assign(player, { src: v.video_url, poster: v.thumbnail_url, controls: true, muted: true, loop: true, autoplay: true, playsInline: true });
  const caption = document.createElement("figcaption");
  caption.textContent = v.prompt;
  const entry = document.createElement("figure");
  entry.append(player, caption);
  return entry;
}

async function show() {
  statusText.textContent = "";
  try {
    const response = await fetch("v1/videos?status=completed&limit=" + limit, { headers: { Authorization: "Bearer " + key.value.trim() } });
    const body = await response.json();
    if (!response.ok) throw new Error(body.error.message);
    const finished = body.data.filter((v) => v.video_url);
    videos.replaceChildren(...finished.map(figure));
    if (!finished.length) statusText.textContent = "There are no videos yet.";
  } catch (error) {
    videos.replaceChildren();
    statusText.textContent = error.message;
  }
}

form.addEventListener("submit", (e) => { e.preventDefault(); show(); });
if (location.hash.length > 1) {
  key.value = decodeURIComponent(location.hash.slice(1));
  history.replaceState(null, "", location.pathname);
  show();
}
