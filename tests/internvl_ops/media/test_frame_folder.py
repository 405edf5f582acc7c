"""A folder, a glob or a list of frame images is a video."""

import io
import os
import shutil

import numpy as np
import pytest
from PIL import Image

from internvl_ops.errors import UnitError
from internvl_ops.media.access import ReadPolicy
from internvl_ops.media.clips import ClipOptions, split_video
from internvl_ops.media.fetch import Fetcher
from internvl_ops.media.frame_files import frame_names, pack_frames
from internvl_ops.media.parts import WHOLE, DecodeOptions
from internvl_ops.media.sampling import sample_indices
from internvl_ops.media.video import VideoOptions, load_video
from internvl_ops.preparer import MediaReader, MediaRef, ReadLimits, Unit


def frame(number: int, suffix: str = "png", size: tuple[int, int] = (32, 24)) -> bytes:
    """A frame that tells its number by its grey."""
    target = io.BytesIO()
    Image.new("RGB", size, (number, number, number)).save(
        target, {"jpg": "JPEG"}.get(suffix, suffix)
    )
    return target.getvalue()


def frames(count: int, first: int = 0) -> bytes:
    return pack_frames(
        (f"{number:05}.png", frame(number - first)) for number in range(first, first + count)
    )


def shown(tiles: np.ndarray) -> list[int]:
    return [int(tile[0, 0, 0]) for tile in tiles]


def cards_rule(count: int, start: float, end: float, fps: float, frames: int) -> list[int]:
    """The numbers of the frames, from 1, that MVBench's published code takes of a folder, counted
    from 0."""
    begin, last = max(1, round(start * fps)), min(round(end * fps), count)
    step = (last - begin) / frames
    return [int(begin + step / 2 + np.round(step * k)) - 1 for k in range(frames)]


class TestSampling:
    @pytest.mark.parametrize(
        ("start", "end"), [(0.0, 20.0), (0.5, 2.5), (1.17, 2.83), (0.4, 100.0)]
    )
    @pytest.mark.parametrize("rate", [3.0, 2.0, 24.0])
    def test_frames_named_from_1_are_those_of_the_published_rule(self, start, end, rate):
        video = load_video(
            frames(72, first=1), VideoOptions(num_frames=8, start=start, end=end, frames_fps=rate)
        )
        assert video.frame_numbers == cards_rule(72, start, end, rate, 8)
        assert shown(video.tiles) == video.frame_numbers

    @pytest.mark.parametrize("first", [0, 1, 300])
    def test_a_whole_folder_is_sampled_as_a_video_of_so_many_frames(self, first):
        video = load_video(frames(60, first=first), VideoOptions(num_frames=4))
        assert video.frame_numbers == [7, 22, 37, 51]
        assert (video.video_frames, video.fps, video.duration_s) == (60, 3.0, 20.0)
        assert (video.width, video.height) == (32, 24)

    def test_frames_a_second_of_a_folder(self):
        assert load_video(frames(12), VideoOptions(fps=1.0)).frame_numbers == [0, 3, 6, 9]
        assert load_video(frames(12), VideoOptions(fps=1.0, frames_fps=6)).frame_numbers == [0, 6]

    def test_clips_of_a_folder(self):
        clips = split_video(frames(30), ClipOptions(length_s=4, frames_fps=3))
        assert [(clip.start_s, clip.end_s) for clip in clips] == [(0, 4), (4, 8), (8, 10)]

    def test_scenes_of_a_folder(self):
        looks = [(10 if number < 40 else 200) for number in range(80)]
        data = pack_frames((f"{number}.png", frame(grey)) for number, grey in enumerate(looks))
        assert [
            clip.end_s for clip in split_video(data, ClipOptions(by="scenes", frames_fps=10))
        ] == [4.0, 8.0]

    def test_a_damaged_frame_is_told_and_its_neighbour_stands_in(self):
        data = pack_frames(
            (f"{number}.png", b"no image" if number == 4 else frame(number)) for number in range(9)
        )
        video = load_video(data, VideoOptions(fps=3))
        assert shown(video.tiles) == [0, 1, 2, 3, 3, 5, 6, 7, 8]
        assert video.notes == ["lost frames, for which the nearest one stands in: 4"]

    def test_frames_on_their_side(self):
        exif = Image.Exif()
        exif[0x0112] = 6
        target = io.BytesIO()
        Image.new("RGB", (32, 24)).save(target, "JPEG", exif=exif)
        data = pack_frames([("1.jpg", target.getvalue())])
        sizes = [(video.width, video.height) for exif in ("apply", "ignore")
                 for video in [load_video(data, VideoOptions(exif=exif))]]  # fmt: skip
        assert sizes == [(24, 32), (32, 24)]

    def test_limits(self):
        for data, options, told in [
            (frames(100), VideoOptions(max_seconds=30), "33"),
            (
                pack_frames([("0.png", frame(0, size=(300, 300)))]),
                VideoOptions(max_pixels=80_000),
                "300",
            ),
        ]:
            with pytest.raises(UnitError, match=told) as caught:
                load_video(data, options)
            assert caught.value.kind == "too_large"

    def test_an_archive_of_something_else(self):
        with pytest.raises(UnitError) as caught:
            load_video(pack_frames([("notes.txt", b"hello")]))
        assert caught.value.kind == "unsupported"


def test_names_are_in_the_order_of_their_numbers():
    names = ["10.jpg", "9.jpg", "1.jpg", ".hidden.jpg", "readme.txt", "Thumbs.db", "2.PNG"]
    assert frame_names(names) == ["1.jpg", "2.PNG", "9.jpg", "10.jpg"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    there = tmp_path_factory.mktemp("base") / "media" / "clip"
    there.mkdir(parents=True)
    for number in range(1, 25):
        (there / f"{number}.png").write_bytes(frame(number - 1))
    return there


@pytest.fixture(scope="module")
def readers(folder):
    """Makes readers of videos, one for all that have the same limits: starting a decoder takes
    seconds."""
    made = {}

    def make(**limits) -> MediaReader:
        key = tuple(limits.items())
        if key not in made:
            options = DecodeOptions(kind="video", video=VideoOptions(num_frames=4))
            made[key] = MediaReader(ReadPolicy(str(folder.parent)), options, ReadLimits(**limits))
        return made[key]

    yield make
    for one in made.values():
        one.close()


def loaded(read: MediaReader, unit: Unit):
    (found,) = [
        file if isinstance(file, UnitError) else read.load(file, unit, place)
        for _, place, file in read.files([unit])
    ]
    return found


class TestReading:
    @pytest.mark.parametrize(
        "spelling", ["clip", "clip/", "{folder}", "file://{folder}", "clip/*.png", "clip/?*.png"]
    )
    def test_a_folder_or_a_glob_in_the_video_column(self, readers, folder, spelling):
        found = loaded(readers(), Unit((), [MediaRef(spelling.format(folder=folder))], WHOLE))
        assert found.tiles_per_image == [1] * 4
        assert (
            shown(found.tiles) == load_video(frames(24), VideoOptions(num_frames=4)).frame_numbers
        )

    def test_a_list_of_images_is_the_frames_in_the_lists_order(self, readers, folder):
        names = [f"clip/{number}.png" for number in (7, 3, 21, 1)]
        found = loaded(readers(), Unit((), [MediaRef(name) for name in names], WHOLE))
        assert shown(found.tiles) == [(6, 2, 20, 0)[number] for number in sample_indices(4, 4)]

    def test_frames_in_the_row_itself(self, readers, folder):
        media = [MediaRef("", frame(number)) for number in (5, 6, 7, 8)]
        found = loaded(readers(), Unit((), media, WHOLE))
        assert shown(found.tiles) == [5 + number for number in sample_indices(4, 4)]

    def test_a_link_out_of_what_may_be_read_is_refused(self, readers, folder, tmp_path):
        (tmp_path / "secret.png").write_bytes(frame(9))
        (folder.parent / "linked").mkdir()
        os.symlink(tmp_path / "secret.png", folder.parent / "linked" / "1.png")
        error = loaded(readers(), Unit((), [MediaRef("linked")], WHOLE))
        assert (error.stage, error.kind) == ("fetch", "refused")

    def test_a_folder_without_frames_is_not_found(self, readers, folder):
        (folder.parent / "empty").mkdir()
        error = loaded(readers(), Unit((), [MediaRef("empty")], WHOLE))
        assert (error.kind, "no frame" in error.message) == ("not_found", True)

    @pytest.mark.parametrize("media", [["clip"], [f"clip/{number}.png" for number in range(1, 25)]])
    def test_all_frames_together_are_no_larger_than_a_file_may_be(self, readers, folder, media):
        unit = Unit((), [MediaRef(name) for name in media], WHOLE)
        error = loaded(readers(max_bytes=1000), unit)
        assert (error.kind, "`max_bytes`" in error.message) == ("too_large", True)

    def test_a_changed_frame_is_another_version(self, readers, folder):
        with Fetcher(ReadPolicy(str(folder.parent)), frame_folders=True) as fetcher:
            copied = shutil.copytree(folder, folder.parent / "copied")
            fetcher.fetch("copied")
            before = fetcher.version("copied")
            assert fetcher.versions_now(["copied"]) == [before]
            (copied / "3.png").write_bytes(frame(77, size=(40, 40)))
            assert fetcher.versions_now(["copied"]) != [before]

    def test_images_are_still_no_folders(self, readers, folder):
        with Fetcher(ReadPolicy(str(folder.parent))) as fetcher, pytest.raises(UnitError) as caught:
            fetcher.fetch("clip")
        assert caught.value.kind == "unsupported"
