// Shows the last videos of the key that is typed in, or that stands behind # in
// the address: what stands there no browser sends to a server.
const form = document.getElementById("ask"), key = document.getElementById("key"), said = document.getElementById("said"), videos = document.getElementById("videos");
const most = 6;

function figure(v) {
  const film = document.createElement("video");
  Object.assign(film, { src: v.video_url, poster: v.thumbnail_url, controls: true, muted: true, loop: true, autoplay: true, playsInline: true });
  const caption = document.createElement("figcaption");
  caption.textContent = v.prompt;
  const box = document.createElement("figure");
  box.append(film, caption);
  return box;
}

async function show() {
  said.textContent = "";
  try {
    const answer = await fetch("v1/videos?status=completed&limit=" + most, { headers: { Authorization: "Bearer " + key.value.trim() } });
    const body = await answer.json();
    if (!answer.ok) throw new Error(body.error.message);
    const there = body.data.filter((v) => v.video_url);
    videos.replaceChildren(...there.map(figure));
    if (!there.length) said.textContent = "There is none yet.";
  } catch (problem) {
    videos.replaceChildren();
    said.textContent = problem.message;
  }
}

form.addEventListener("submit", (e) => { e.preventDefault(); show(); });
if (location.hash.length > 1) {
  key.value = decodeURIComponent(location.hash.slice(1));
  history.replaceState(null, "", location.pathname);
  show();
}
