"""Pictures of nobody: anatomy drawn by formula, for samples that look like what they stand for.

Each function is pure and seeded, so that a sample has the same bytes wherever it is made.
Coordinates run from -1 to 1, x to the right and y downwards.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

Picture = npt.NDArray[np.floating[Any]]
SEED = 1895  # the year of the first radiograph


@dataclass(frozen=True, slots=True)
class Plane:
    x: Picture
    y: Picture

    @classmethod
    def of(cls, rows: int, columns: int, *, aspect: float = 1.0) -> "Plane":
        y, x = np.mgrid[-1 : 1 : rows * 1j, -aspect : aspect : columns * 1j]
        return cls(x, y)

    def ellipse(
        self, x: float, y: float, width: float, height: float, *, turned: float = 0, soft: float = 9
    ) -> Picture:
        """1 inside and 0 outside; `soft` is the sharpness of the edge, `turned` in radians."""
        u = (self.x - x) * np.cos(turned) + (self.y - y) * np.sin(turned)
        v = (self.y - y) * np.cos(turned) - (self.x - x) * np.sin(turned)
        inwards: Picture = 1 - np.hypot(u / width, v / height)
        return step(inwards * min(width, height) * soft * 12)

    def around(self, x: float, y: float, reach: float) -> tuple["Plane", tuple[slice, slice]]:
        """The square part of the plane that holds all within `reach`, and where it is."""
        rows = slice(*np.searchsorted(self.y[:, 0], (y - reach, y + reach)))
        columns = slice(*np.searchsorted(self.x[0], (x - reach, x + reach)))
        return Plane(self.x[rows, columns], self.y[rows, columns]), (rows, columns)


def step(distance: Picture) -> Picture:
    result: Picture = 1 / (1 + np.exp(-np.clip(distance, -60, 60)))
    return result


def paint(picture: Picture, mask: Picture, value: float | Picture) -> None:
    picture += mask * (value - picture)


def paint_ellipse(
    picture: Picture,
    plane: Plane,
    value: float,
    x: float,
    y: float,
    width: float,
    height: float,
    *,
    turned: float = 0,
    soft: float = 9,
) -> None:
    """Only where it shows: a body has many small parts."""
    part, where = plane.around(x, y, max(width, height) + 0.8 / soft)
    paint(picture[where], part.ellipse(x, y, width, height, turned=turned, soft=soft), value)


def texture(rows: int, columns: int, *, seed: int, roughness: float = 1.6) -> Picture:
    """Noise with a power spectrum like tissue's (1/f^roughness), mean 0, deviation 1."""
    chance = np.random.default_rng(seed)
    frequency = np.hypot(np.fft.fftfreq(rows)[:, None], np.fft.rfftfreq(columns)[None, :])
    frequency[0, 0] = np.inf
    spectrum = np.fft.rfft2(chance.standard_normal((rows, columns))) / frequency**roughness
    field = np.fft.irfft2(spectrum, s=(rows, columns))
    result: Picture = (field - field.mean()) / field.std()
    return result


def smoothed(picture: Picture) -> Picture:
    """A 3 by 3 binomial filter: what a reconstruction kernel does to noise."""
    for axis in (0, 1):
        picture = (np.roll(picture, 1, axis) + 2 * picture + np.roll(picture, -1, axis)) / 4
    return picture


def chest_slice(height: float, *, size: int = 256) -> Picture:
    """Hounsfield units of an axial slice; `height` from 0 (diaphragm) to 1 (apex)."""
    plane = Plane.of(size, size)
    hounsfield = np.full((size, size), -1000.0)
    wide = 0.84 - 0.2 * height**2
    paint_ellipse(hounsfield, plane, -95, 0, 0.03, wide, 0.6)
    paint_ellipse(hounsfield, plane, 45, 0, 0.03, wide - 0.06, 0.54)
    _paint_lungs(hounsfield, plane, height)
    _paint_mediastinum(hounsfield, plane, height)
    _paint_bones(hounsfield, plane, height, wide)
    paint(hounsfield, (plane.y > 0.72) * (plane.y < 0.76) * (abs(plane.x) < 0.9) * 1.0, -650)
    noise = np.random.default_rng(SEED + int(height * 1000)).standard_normal((size, size))
    return smoothed(smoothed(hounsfield) + 45 * noise)


def _paint_lungs(hounsfield: Picture, plane: Plane, height: float) -> None:
    size = np.sin(np.pi * (0.16 + 0.72 * height)) ** 0.6
    vessels = texture(*plane.x.shape, seed=SEED + int(height * 40), roughness=1.2)
    air = -860 + 110 * np.clip(vessels, 0, 4) ** 1.5
    for side in (-1, 1):
        paint(hounsfield, plane.ellipse(0.42 * side, 0, 0.29 * size, 0.43 * size), air)
    nodule = max(0.0, 1 - ((height - 0.55) / 0.06) ** 2) ** 0.5
    if nodule:
        paint_ellipse(hounsfield, plane, 60, -0.47, 0.12, 0.045 * nodule, 0.04 * nodule)
    dome = max(0.0, 0.28 - height) / 0.28
    if dome:
        paint_ellipse(hounsfield, plane, 110, -0.36, 0.05, 0.4 * dome, 0.46 * dome)


def _paint_mediastinum(hounsfield: Picture, plane: Plane, height: float) -> None:
    heart = max(0.0, np.sin(np.pi * min(1.0, height * 1.55)))
    if heart > 0.05:
        paint_ellipse(hounsfield, plane, 60, 0.1, -0.12, 0.3 * heart, 0.25 * heart, turned=0.5)
        paint_ellipse(hounsfield, plane, 210, 0.17, -0.1, 0.14 * heart, 0.1 * heart, turned=0.5)
        paint_ellipse(hounsfield, plane, 180, 0.0, -0.17, 0.1 * heart, 0.12 * heart)
    paint_ellipse(hounsfield, plane, 220, 0.12, 0.24, 0.065, 0.065)  # descending aorta
    if height > 0.5:
        paint_ellipse(hounsfield, plane, -980, -0.02, 0.06, 0.045, 0.04)  # trachea
        paint_ellipse(hounsfield, plane, 260, -0.1, -0.16, 0.05, 0.05)  # superior vena cava


def _paint_bones(hounsfield: Picture, plane: Plane, height: float, wide: float) -> None:
    paint_ellipse(hounsfield, plane, 620, 0, 0.33, 0.14, 0.115)  # vertebra
    paint_ellipse(hounsfield, plane, 240, 0, 0.33, 0.115, 0.09)
    paint_ellipse(hounsfield, plane, 480, 0, 0.5, 0.035, 0.1)
    paint_ellipse(hounsfield, plane, 30, 0, 0.455, 0.055, 0.045)  # spinal canal
    paint_ellipse(hounsfield, plane, 380, 0, -0.5, 0.1, 0.03)  # sternum
    for number in range(9):
        angle = 0.35 + number * 0.34 + height * 2.1 % 0.34
        for side in (-1, 1):
            x, y = side * np.sin(angle) * (wide - 0.1), 0.03 + np.cos(angle) * 0.5
            turned = side * (np.pi / 2 + angle)
            paint_ellipse(hounsfield, plane, 640, x, y, 0.08, 0.026, turned=turned)


def brain_slice(height: float, *, size: int = 256) -> Picture:
    """T2-weighted signal (0 to about 1000) of an axial slice, 0 the base and 1 the vertex."""
    plane = Plane.of(size, size)
    scale = np.sqrt(max(0.15, 1 - (1.5 * height - 0.62) ** 2))
    signal = np.zeros((size, size))
    paint_ellipse(signal, plane, 420, 0, 0, 0.76 * scale, 0.93 * scale)  # scalp
    paint_ellipse(signal, plane, 40, 0, 0, 0.72 * scale, 0.89 * scale)  # skull
    paint_ellipse(signal, plane, 900, 0, 0, 0.67 * scale, 0.84 * scale)  # cerebrospinal fluid
    folds = texture(size, size, seed=SEED + int(height * 6), roughness=1.1)
    radius = np.hypot(plane.x / (0.65 * scale), plane.y / (0.82 * scale)) + 0.065 * folds
    paint(signal, step((0.97 - radius) * 40), 520)  # grey matter
    paint(signal, step((0.8 - radius + 0.03 * folds) * 40), 330)  # white matter
    paint(signal, (abs(plane.x + 0.01 * folds) < 0.012) * (radius < 1) * 0.8, 880)  # fissure
    _paint_ventricles(signal, plane, height)
    chance = np.random.default_rng(SEED + int(height * 1000))
    real, imaginary = chance.normal(0, 26, (2, size, size))
    result: Picture = np.hypot(smoothed(signal) + real, imaginary)
    return result


def _paint_ventricles(signal: Picture, plane: Plane, height: float) -> None:
    size = max(0.0, 1 - ((height - 0.5) / 0.26) ** 2)
    if size <= 0:
        return
    for side in (-1, 1):
        paint_ellipse(signal, plane, 440, 0.23 * side, 0.06, 0.1 * size, 0.16 * size)  # thalamus
        front = plane.ellipse(0.1 * side, -0.2, 0.055 * size, 0.22 * size, turned=-0.28 * side)
        back = plane.ellipse(0.16 * side, 0.3, 0.06 * size, 0.2 * size, turned=0.3 * side)
        paint(signal, np.maximum(front, back), 950)
    paint_ellipse(signal, plane, 860, 0.36, -0.12, 0.05 * size, 0.035 * size)  # a lesion


def heart_frame(phase: float, *, rows: int = 360, columns: int = 480) -> Picture:
    """Grey values of a four-chamber ultrasound sector; `phase` of the beat from 0 to 1."""
    plane = Plane.of(rows, columns, aspect=columns / rows)
    squeeze = 0.5 - 0.5 * np.cos(2 * np.pi * phase)
    echo = np.full((rows, columns), 0.3)
    paint_ellipse(echo, plane, 0.62, 0, 0.1, 0.56, 0.74)  # pericardium and muscle
    left, right = 1 - 0.3 * squeeze, 1 - 0.22 * squeeze
    paint_ellipse(echo, plane, 0.05, 0.21, -0.08, 0.2 * left, 0.36 * left, turned=-0.12)
    paint_ellipse(echo, plane, 0.06, -0.23, -0.02, 0.15 * right, 0.31 * right, turned=0.16)
    atria = 0.82 + 0.25 * squeeze
    paint_ellipse(echo, plane, 0.05, 0.2, 0.5, 0.18 * atria, 0.17 * atria)
    paint_ellipse(echo, plane, 0.05, -0.2, 0.5, 0.17 * atria, 0.17 * atria)
    opening = 0.35 + 0.9 * (1 - squeeze)
    for side in (-1, 1):  # mitral and tricuspid leaflets
        for centre in (0.2, -0.2):
            x, turned = centre + 0.08 * side, -side * opening
            paint_ellipse(echo, plane, 0.95, x, 0.27, 0.08, 0.014, turned=turned, soft=20)
    return _as_scanned(echo, plane, seed=SEED + round(phase * 1000))


def _as_scanned(echo: Picture, plane: Plane, *, seed: int) -> Picture:
    """Speckle, attenuation and the sector's shape."""
    speckle = np.hypot(*np.random.default_rng(seed).standard_normal((2, *echo.shape)))
    coarse = smoothed(smoothed(speckle)) / 1.25
    depth = np.hypot(plane.x, plane.y + 1)
    gain = 1.15 - 0.3 * depth
    angle = np.arctan2(plane.x, plane.y + 1)
    inside = step((0.72 - abs(angle)) * 80) * step((1.92 - depth) * 60) * step((depth - 0.1) * 60)
    grey = 255 * np.clip(echo * coarse**1.6 * gain, 0, 1) ** 0.62
    return grey * inside


def breast(*, rows: int = 2304, columns: int = 1792, seed: int = SEED) -> Picture:
    """Grey values (0 to 4095) of a left mediolateral oblique mammogram, chest wall at the left."""
    smooth = Image.fromarray(_breast_tissue(rows // 2, columns // 2, seed).astype(np.float32))
    grey = np.asarray(smooth.resize((columns, rows), Image.Resampling.BICUBIC), dtype=float)
    noise = np.random.default_rng(seed).standard_normal(grey.shape)
    result: Picture = np.clip(grey + 30 + 22 * noise, 0, 4095)
    return result


def _breast_tissue(rows: int, columns: int, seed: int) -> Picture:
    plane = Plane.of(rows, columns)
    edge = 1 - np.hypot((plane.x + 1) / 1.45, (plane.y - 0.1) / 0.88)
    inside = step(edge * 90)
    thickness = np.sqrt(np.clip(edge * 3, 0, 1))
    tissue = texture(rows, columns, seed=seed, roughness=1.55)
    gland = np.exp(-(((plane.x + 0.25) / 0.55) ** 2) - ((plane.y - 0.1) / 0.5) ** 2)
    grey: Picture = 900 + 700 * thickness + 950 * gland * np.clip(0.6 + 0.55 * tissue, 0, 2)
    grey += 110 * tissue
    muscle = step((-0.6 - plane.x - 0.42 * (plane.y + 0.45) + 0.02 * tissue) * 24)
    paint(grey, muscle * inside, 3000 + 90 * tissue)
    mass = plane.ellipse(-0.2, 0.22, 0.05, 0.042, turned=0.6, soft=4)
    paint(grey, mass * 0.65, 3300 + 150 * tissue)
    _paint_calcifications(grey, seed)
    return grey * inside


def _paint_calcifications(grey: Picture, seed: int) -> None:
    chance = np.random.default_rng(seed)
    rows, columns = grey.shape
    for y, x in chance.normal((0.66, 0.46), (0.016, 0.018), (14, 2)):
        row, column, size = int(y * rows), int(x * columns), int(chance.integers(1, 3))
        grey[row : row + size, column : column + size] += 900


def wound(*, healed: float, rows: int = 1200, columns: int = 1600) -> Picture:
    """RGB values (0 to 255) of a wound on a lower leg, from 0 (fresh) to 1 (nearly closed)."""
    plane = Plane.of(rows, columns, aspect=columns / rows)
    grain = texture(rows, columns, seed=SEED + 1, roughness=1.3)
    coarse = texture(rows, columns, seed=SEED + 2, roughness=2.0)
    picture = _colour(plane, (58, 104, 122)) * (1 + 0.035 * grain)[..., None]  # a drape
    round_ = np.sqrt(np.clip(1 - (plane.y / 0.82) ** 2, 0.0, 1))
    skin = _colour(plane, (214, 160, 132)) * (0.42 + 0.6 * round_ + 0.02 * grain)[..., None]
    skin += 5 * coarse[..., None]
    _paint_colour(picture, step((0.78 - abs(plane.y) + 0.01 * coarse) * 60), skin)
    size = 1 - 0.62 * healed
    outline = 1 - np.hypot(plane.x / (0.5 * size), (plane.y + 0.04) / (0.33 * size)) + 0.13 * coarse
    _paint_colour(picture, 0.6 * step((outline + 0.45) * 7), skin * (1.0, 0.72, 0.7))
    _paint_colour(picture, step((outline + 0.07) * 30), skin * (0.83, 0.5, 0.48))
    bed = _colour(plane, (150 + 22 * healed, 34 + 26 * healed, 36 + 26 * healed))
    bed = bed * (1 + 0.14 * grain)[..., None]
    _paint_colour(picture, step(outline * 30), bed)
    slough = step((coarse - 0.35 - 0.9 * healed) * 9) * step((outline - 0.12) * 25)
    _paint_colour(picture, 0.85 * slough, _colour(plane, (196, 172, 104)) + 9 * grain[..., None])
    shine = step((grain - 1.75) * 12) * step((outline - 0.1) * 25)
    _paint_colour(picture, 0.6 * shine, _colour(plane, (250, 236, 230)))
    result: Picture = np.clip(picture, 0, 255)
    return result


def _colour(plane: Plane, rgb: tuple[float, float, float]) -> Picture:
    return np.broadcast_to(np.array(rgb), (*plane.x.shape, 3))


def _paint_colour(picture: Picture, mask: Picture, value: Picture) -> None:
    picture += mask[..., None] * (value - picture)
