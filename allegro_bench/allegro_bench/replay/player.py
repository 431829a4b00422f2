"""The page's player: curves and the hand's bones on plain canvases, all at the same moment. No library, no network."""

from __future__ import annotations

STYLE = """
.openloop { font-size: 17px; font-weight: 600; border-left: 6px solid #0b5c92; padding: 6px 14px; background: #eef5fa; }
.judged { border: 1px solid var(--line); border-radius: 6px; padding: 8px 16px 10px; margin: 12px 0; }
.judged h3 { margin: 2px 0 4px; font-size: 16px; } .judged ul { margin: 4px 0; padding-left: 20px; }
.finding { border-left: 4px solid; padding: 2px 0 2px 14px; margin: 10px 0; max-width: 96ch; }
.finding p { margin: 2px 0; } .finding b { margin: 0 6px; }
.player { display: grid; grid-template-columns: minmax(280px, 360px) minmax(0, 1fr); gap: 18px; margin-top: 10px; }
.stage { position: sticky; top: 8px; align-self: start; background: #fff; }
.stage canvas { width: 100%; height: 340px; border: 1px solid var(--line); border-radius: 6px; touch-action: pan-y;
  cursor: grab; display: block; }
.stage input[type=range] { width: 100%; margin: 10px 0 2px; }
.controls { display: flex; flex-wrap: wrap; gap: 8px 14px; align-items: center; margin-top: 8px; font-size: 13.5px; }
.controls button, .player select { font: inherit; font-size: 13.5px; padding: 3px 10px; border: 1px solid #9aa5b1;
  border-radius: 5px; background: #fff; color: var(--ink); max-width: 100%; }
.said { font-size: 13px; color: var(--dim); min-height: 5.2em; overflow-wrap: anywhere; }
.said b { color: var(--ink); }
.panel { margin: 0 0 10px; } .panel h4 { margin: 0; font-size: 13.5px; font-weight: 600; }
.panel canvas { width: 100%; display: block; touch-action: pan-y; cursor: crosshair; }
.legend { font-size: 12.5px; color: var(--dim); line-height: 1.45;
  min-height: 1.5em; font-variant-numeric: tabular-nums; }
.legend span { white-space: nowrap; margin-right: 12px; } .legend i { display: inline-block; width: 16px; height: 0;
  border-top: 2.5px solid; vertical-align: middle; margin-right: 4px; }
@media (max-width: 760px) {
  main { padding: 16px 14px 40px; } h1 { font-size: 22px; }
  .player { grid-template-columns: minmax(0, 1fr); gap: 10px; }
  .stage { position: static; border-bottom: 1px solid var(--line); padding-bottom: 4px; }
  .stage canvas { height: 250px; } .said { min-height: 2.6em; max-height: 3.9em; overflow: auto; }
  .judged { padding: 8px 12px; } td.w { min-width: 120px; }
}
@media print { .stage { position: static; } .controls, .stage input { display: none; } }
"""

TEMPLATE = """
<div class="player"><div class="stage"><canvas id="hand" role="img" aria-label="the hand at this moment"></canvas>
<input type="range" id="moment" min="0" max="1000" step="1" value="0" aria-label="moment">
<div class="controls"><button id="play">play</button>
<label>speed <select id="speed"><option value="0.25">1/4</option><option value="1" selected>1</option>
<option value="4">4</option></select></label><label>orange <select id="wanted"></select></label></div>
<p class="said" id="said"></p>
<p class="note">Circles: touch cells, redder and larger with pressure; white and red-rimmed: not valid.</p></div>
<div><div class="controls"><label>joints of <select id="finger"></select></label>
<button id="all">whole recording</button></div><div id="panels"></div></div></div>
"""

SCRIPT = """
document.addEventListener('DOMContentLoaded', function () {
  'use strict';
  var source = document.getElementById('replay-data');
  if (!source) return;
  var data = JSON.parse(source.textContent);
  var palette = ['#0072B2', '#8B6B00', '#009E73', '#CC79A7', '#56B4E9', '#444444'];
  var end = Math.max(data.duration, 0.1), view = [0, end], moment = 0, playing = false, az = 0.75, el = 0.25;
  var get = function (id) { return document.getElementById(id); };
  var LEFT = 52, RIGHT = 10, panels = [];

  function fit(canvas, height) {
    var ratio = window.devicePixelRatio || 1, width = canvas.clientWidth || 300;
    height = height || canvas.clientHeight;
    canvas.width = Math.round(width * ratio); canvas.height = Math.round(height * ratio);
    var pen = canvas.getContext('2d'); pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, height); pen.font = '11.5px system-ui, "DejaVu Sans", sans-serif';
    return { pen: pen, w: width, h: height };
  }
  function xOf(t, w) { return LEFT + (t - view[0]) / (view[1] - view[0]) * (w - LEFT - RIGHT); }
  function tOf(x, w) { return view[0] + (x - LEFT) / (w - LEFT - RIGHT) * (view[1] - view[0]); }
  function steps(low, high, count) {
    var raw = (high - low) / count, power = Math.pow(10, Math.floor(Math.log10(raw))), found = power;
    [1, 2, 5, 10].some(function (k) { found = k * power; return found >= raw; });
    var list = [], v = Math.ceil(low / found - 1e-9) * found;
    for (; v <= high + 1e-9 * found; v += found) list.push(v);
    return { list: list, digits: Math.max(0, -Math.floor(Math.log10(found) + 1e-9)) };
  }
  function last(times, t) {
    var low = 0, high = times.length;
    while (low < high) { var mid = (low + high) >> 1; if (times[mid] <= t) low = mid + 1; else high = mid; }
    return low - 1;
  }
  function colour(curve) { return curve.kind === 'policy' ? '#D55E00' : palette[curve.colour % palette.length]; }
  function cursor(c) {
    var x = xOf(moment, c.w);
    if (x < LEFT - 1 || x > c.w - RIGHT + 1) return;
    c.pen.strokeStyle = '#1f2933'; c.pen.lineWidth = 1; c.pen.setLineDash([]);
    c.pen.beginPath(); c.pen.moveTo(x, 0); c.pen.lineTo(x, c.h); c.pen.stroke();
  }
  function drawPanel(p) {
    var c = fit(p.canvas, 150), pen = c.pen, top = 6, bottom = c.h - 20, low = Infinity, high = -Infinity;
    p.spec.curves.forEach(function (k) {
      for (var i = Math.max(0, last(k.t, view[0])); i < k.t.length && k.t[i] <= view[1]; i++) {
        var v = k.v[i]; if (v !== null) { if (v < low) low = v; if (v > high) high = v; }
      }
    });
    (p.spec.lines || []).forEach(function (l) { if (high >= l.y * 0.5 && l.y > high) high = l.y; });
    if (!p.spec.curves.length || low > high) {
      pen.fillStyle = '#52606d';
      pen.fillText(p.spec.curves.length ? 'nothing in view' : (p.spec.empty || ''), LEFT, 30);
      cursor(c); return;
    }
    if (p.spec.finger === undefined && low > 0) low = 0;
    if (high - low < 1e-9) { high += high === 0 ? 1e-3 : Math.abs(high) * 0.1 + 1e-6; }
    var pad = (high - low) * 0.06; high += pad; if (low !== 0) low -= pad;
    var yOf = function (v) { return bottom - (v - low) / (high - low) * (bottom - top); };
    pen.lineWidth = 1; pen.strokeStyle = '#e4e7eb'; pen.fillStyle = '#52606d'; pen.textAlign = 'right';
    var ys = steps(low, high, 4);
    ys.list.forEach(function (v) {
      pen.beginPath(); pen.moveTo(LEFT, yOf(v)); pen.lineTo(c.w - RIGHT, yOf(v)); pen.stroke();
      pen.fillText(v === 0 ? '0' : ys.digits > 4 ? v.toExponential(0) : v.toFixed(ys.digits), LEFT - 6, yOf(v) + 4);
    });
    pen.textAlign = 'center';
    var xs = steps(view[0], view[1], Math.max(2, Math.floor(c.w / 110)));
    xs.list.forEach(function (v) {
      pen.beginPath(); pen.moveTo(xOf(v, c.w), top); pen.lineTo(xOf(v, c.w), bottom); pen.stroke();
      pen.fillText(v.toFixed(xs.digits) + ' s', xOf(v, c.w), c.h - 5);
    });
    pen.save(); pen.beginPath(); pen.rect(LEFT, 0, c.w - LEFT - RIGHT, bottom + 2); pen.clip();
    (p.spec.lines || []).forEach(function (l) {
      if (l.y > high) return;
      pen.strokeStyle = '#c2410c'; pen.setLineDash([2, 3]); pen.beginPath(); pen.moveTo(LEFT, yOf(l.y));
      pen.lineTo(c.w, yOf(l.y)); pen.stroke(); pen.textAlign = 'left'; pen.fillStyle = '#c2410c';
      pen.fillText(l.name, LEFT + 4, yOf(l.y) - 3);
    });
    p.spec.curves.forEach(function (k) {
      pen.strokeStyle = colour(k); pen.lineWidth = k.kind === 'policy' ? 1.1 : 1.5;
      pen.setLineDash(k.kind === 'dash' ? [5, 3] : []); pen.beginPath();
      var down = false, before = -1e9;
      for (var i = Math.max(0, last(k.t, view[0])); i < k.t.length; i++) {
        if (k.v[i] === null) { down = false; continue; }
        if (k.t[i] - before > 0.3) down = false;
        before = k.t[i];
        var x = xOf(k.t[i], c.w), y = yOf(k.v[i]);
        if (down) pen.lineTo(x, y); else pen.moveTo(x, y);
        down = true;
        if (k.t[i] > view[1]) break;
      }
      pen.stroke();
    });
    pen.restore(); pen.setLineDash([]);
    cursor(c);
  }
  function legend(p) {
    p.legend.textContent = '';
    p.spec.curves.forEach(function (k) {
      var i = last(k.t, moment), v = i >= 0 && moment - k.t[i] < 0.5 ? k.v[i] : null;
      var item = document.createElement('span'), line = document.createElement('i');
      line.style.borderTopColor = colour(k); if (k.kind === 'dash') line.style.borderTopStyle = 'dashed';
      item.appendChild(line);
      item.appendChild(document.createTextNode(k.name + (v === null ? '' : ' ' + v.toPrecision(3))));
      p.legend.appendChild(item);
    });
  }
  function drawBands() {
    var c = fit(strip, 64), pen = c.pen, rows = { episode: 4, policy: 24 };
    pen.fillStyle = '#52606d'; pen.textAlign = 'right';
    pen.fillText('episode', LEFT - 6, 16); pen.fillText('policy', LEFT - 6, 36); pen.fillText('marks', LEFT - 6, 56);
    pen.save(); pen.beginPath(); pen.rect(LEFT, 0, c.w - LEFT - RIGHT, c.h); pen.clip(); pen.textAlign = 'left';
    data.bands.forEach(function (b) {
      var x0 = Math.max(LEFT, xOf(b.from, c.w)), x1 = xOf(b.to, c.w), y = rows[b.row];
      pen.fillStyle = b.colour; pen.fillRect(x0, y, Math.max(1, x1 - x0 - 1), 16);
      if (x1 - x0 > 26) { pen.save(); pen.beginPath(); pen.rect(x0, y, x1 - x0 - 3, 16); pen.clip();
        pen.fillStyle = '#fff'; pen.fillText(b.text, x0 + 4, y + 12); pen.restore(); }
    });
    var kinds = { fault: '#c2410c', warning: '#b45309', note: '#667085', said: '#9aa5b1' };
    data.marks.forEach(function (m) {
      var x = xOf(m.t, c.w), x1 = m.to === null ? x : xOf(m.to, c.w);
      pen.fillStyle = kinds[m.kind]; pen.globalAlpha = m.kind === 'said' ? 1 : 0.55;
      if (m.kind !== 'said') pen.fillRect(x, 44, Math.max(3, x1 - x), 16);
      else pen.fillRect(x, 48, 2, 8);
      pen.globalAlpha = 1;
    });
    pen.restore(); cursor(c);
  }
  var hand = get('hand'), fitted = null;
  function turned(p, i) {
    var x = p[3 * i], y = p[3 * i + 1], z = p[3 * i + 2];
    var a = x * Math.cos(az) + y * Math.sin(az), b = -x * Math.sin(az) + y * Math.cos(az);
    return [b, z * Math.cos(el) + a * Math.sin(el)];
  }
  function fitHand(c) {
    var frames = data.hand.measured, every = Math.max(1, Math.floor(frames.length / 80)), box = [1e9, 1e9, -1e9, -1e9];
    for (var f = 0; f < frames.length; f += every) for (var i = 0; i < frames[f].length / 3; i++) {
      var q = turned(frames[f], i);
      box = [Math.min(box[0], q[0]), Math.min(box[1], q[1]), Math.max(box[2], q[0]), Math.max(box[3], q[1])];
    }
    var scale = Math.min((c.w - 60) / (box[2] - box[0] + 1), (c.h - 40) / (box[3] - box[1] + 1));
    fitted = { x: (box[0] + box[2]) / 2, y: (box[1] + box[3]) / 2, scale: scale };
  }
  function project(p, i, c) {
    var q = turned(p, i);
    return [c.w / 2 + (q[0] - fitted.x) * fitted.scale, c.h / 2 - (q[1] - fitted.y) * fitted.scale];
  }
  function bones(points, c, ink, width, alpha) {
    var pen = c.pen, per = (points.length / 3 - 1) / data.fingers.length;
    pen.globalAlpha = alpha; pen.lineCap = 'round'; pen.lineJoin = 'round';
    for (var f = 0; f < data.fingers.length; f++) {
      pen.strokeStyle = ink || '#cbd2d9'; pen.lineWidth = width; pen.beginPath();
      var start = project(points, 0, c); pen.moveTo(start[0], start[1]);
      var base = project(points, 1 + f * per, c); pen.lineTo(base[0], base[1]); pen.stroke();
      pen.strokeStyle = ink || palette[f % palette.length]; pen.beginPath(); pen.moveTo(base[0], base[1]);
      for (var j = 1; j < per; j++) { var q = project(points, 1 + f * per + j, c); pen.lineTo(q[0], q[1]); }
      pen.stroke();
    }
    pen.globalAlpha = 1;
  }
  function drawHand() {
    var c = fit(hand), i = Math.max(0, last(data.hand.t, moment + 1e-6)), pen = c.pen;
    fitHand(c);
    var who = data.hand.wanted[Number(get('wanted').value)];
    bones(data.hand.measured[i], c, null, 7, 1);
    if (who && who.bones[i]) bones(who.bones[i], c, '#D55E00', 2.5, 0.9);
    var at = data.hand.cells.at[i], pressure = data.hand.cells.pressure[i] || [];
    pressure.forEach(function (v, k) {
      var q = project(at, k, c), share = Math.max(0, Math.min(1, v / 400));
      pen.beginPath(); pen.arc(q[0], q[1], 3.2 + 6 * share, 0, 7); pen.lineWidth = 1.2;
      pen.strokeStyle = v < 0 ? '#c2410c' : '#1f2933';
      var tone = [245 - 40 * share, 235 - 190 * share, 235 - 200 * share].map(Math.round);
      pen.fillStyle = v < 0 ? '#fff' : 'rgb(' + tone.join(',') + ')';
      pen.fill(); pen.stroke();
    });
    pen.fillStyle = '#52606d'; pen.textAlign = 'left';
    data.fingers.forEach(function (name, f) {
      var per = (data.hand.measured[i].length / 3 - 1) / data.fingers.length;
      var q = project(data.hand.measured[i], f * per + per, c); pen.fillText(name, q[0] + 9, q[1] - 5);
    });
  }
  function tell() {
    var said = get('said'); said.textContent = '';
    var bold = document.createElement('b'); bold.textContent = moment.toFixed(2) + ' s'; said.appendChild(bold);
    var near = data.bands.filter(function (b) { return b.from <= moment && moment <= b.to; }).map(function (b) {
      return b.row + ' ' + b.text; });
    var latest = null;
    data.marks.forEach(function (m) {
      var until = m.to === null ? m.t + 0.3 : m.to;
      if (m.kind !== 'said') { if (m.t - 0.05 <= moment && moment <= until) near.push(m.text); }
      else if (m.t <= moment && moment - m.t < 1.0) latest = m.text;
    });
    if (latest) near.push(latest);
    said.appendChild(document.createTextNode(near.length ? ' · ' + near.join(' · ') : ''));
  }
  function draw() {
    var finger = get('finger').value;
    panels.forEach(function (p) {
      p.box.hidden = p.spec.finger !== undefined && p.spec.finger !== finger;
      if (!p.box.hidden) { drawPanel(p); legend(p); }
    });
    drawBands(); drawHand(); tell(); get('moment').value = Math.round(moment / end * 1000);
  }
  var waiting = false;
  function soon() { if (!waiting) { waiting = true; requestAnimationFrame(function () { waiting = false; draw(); }); } }
  function listen(canvas) {
    var from = null;
    canvas.addEventListener('pointermove', function (e) {
      if (playing) return;
      var t = tOf(e.offsetX, canvas.clientWidth);
      moment = Math.max(0, Math.min(end, t)); soon();
    });
    canvas.addEventListener('pointerdown', function (e) {
      playing = false; get('play').textContent = 'play';
      from = e.pointerType === 'mouse' ? tOf(e.offsetX, canvas.clientWidth) : null;
      moment = Math.max(0, Math.min(end, tOf(e.offsetX, canvas.clientWidth))); soon();
    });
    canvas.addEventListener('pointerup', function (e) {
      if (from === null) return;
      var to = tOf(e.offsetX, canvas.clientWidth), low = Math.max(0, Math.min(from, to));
      var high = Math.min(end, Math.max(from, to));
      if (high - low > (view[1] - view[0]) * 0.02 && high - low > 0.05) view = [low, high];
      from = null; soon();
    });
    canvas.addEventListener('dblclick', function () { view = [0, end]; soon(); });
  }
  function make(kind) { return document.createElement(kind); }
  var strip = make('canvas');
  (function () {
    var top = make('div'); top.className = 'panel'; top.appendChild(strip); get('panels').appendChild(top);
    listen(strip);
    data.panels.forEach(function (spec) {
      var box = make('div'), head = make('h4'), canvas = make('canvas'), words = make('div');
      box.className = 'panel'; words.className = 'legend';
      head.textContent = spec.title + (spec.unit ? ' (' + spec.unit + ')' : '');
      [head, canvas, words].forEach(function (part) { box.appendChild(part); }); get('panels').appendChild(box);
      panels.push({ spec: spec, box: box, canvas: canvas, legend: words }); listen(canvas);
    });
    function option(select, value, text) {
      var o = document.createElement('option'); o.value = value; o.textContent = text; get(select).appendChild(o); }
    data.fingers.forEach(function (name) { option('finger', name, name); });
    data.hand.wanted.forEach(function (w, i) { option('wanted', i, w.name); });
    option('wanted', -1, 'nobody');
  })();
  get('finger').addEventListener('change', soon); get('wanted').addEventListener('change', soon);
  get('all').addEventListener('click', function () { view = [0, end]; soon(); });
  get('moment').addEventListener('input', function () {
    moment = Number(this.value) / 1000 * end; playing = false; soon();
  });
  get('play').addEventListener('click', function () {
    playing = !playing; this.textContent = playing ? 'stop' : 'play';
    if (moment >= end - 0.01) moment = 0;
    var before = null;
    function turn(now) {
      if (!playing) return;
      if (before !== null) moment += (now - before) / 1000 * Number(get('speed').value);
      before = now;
      if (moment >= end) { moment = end; playing = false; get('play').textContent = 'play'; }
      draw(); if (playing) requestAnimationFrame(turn);
    }
    if (playing) requestAnimationFrame(turn);
  });
  var held = null;
  hand.addEventListener('pointerdown', function (e) {
    held = [e.clientX, e.clientY]; hand.setPointerCapture(e.pointerId);
  });
  hand.addEventListener('pointermove', function (e) {
    if (!held) return;
    az += (e.clientX - held[0]) * 0.01; el = Math.max(-1.5, Math.min(1.5, el + (e.clientY - held[1]) * 0.01));
    held = [e.clientX, e.clientY]; drawHand();
  });
  hand.addEventListener('pointerup', function () { held = null; });
  hand.addEventListener('pointercancel', function () { held = null; });
  window.addEventListener('resize', soon); window.addEventListener('beforeprint', draw);
  var run = data.bands.filter(function (b) { return b.text === 'RUN'; })[0];
  moment = run ? Math.min(end, run.from + 0.5) : 0;
  draw();
});
"""
