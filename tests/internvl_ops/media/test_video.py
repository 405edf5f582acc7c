"""Which frames are taken from a video, and that they are those frames."""

import io
import math
import os
import struct
import subprocess
import sys

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from internvl_ops.errors import UnitError
from internvl_ops.media.clips import ClipOptions, scene_work, split_video
from internvl_ops.media.sampling import frame_labels, sample_indices, sample_times
from internvl_ops.media.tiling import tile_image
from internvl_ops.media.video import VideoOptions, load_video
from internvl_ops.media.video_file import VideoFile
from testing import corpus_fields
from testing.corpus_video import (
    KINDS,
    Clip,
    audio_only,
    flipped,
    lying_size,
    make,
    paint,
    read_number,
    truncated,
)

_made: dict[str, bytes] = {}


def kind(name: str) -> bytes:
    if name not in _made:
        _made[name] = make(KINDS[name])
    return _made[name]


def failure(data: bytes, **options) -> UnitError:
    with pytest.raises(UnitError) as caught:
        load_video(data, VideoOptions(**options))
    assert caught.value.stage == "decode"
    return caught.value


def with_hidden_frames(codec: str) -> bytes:
    """A video in which a copy that is not shown goes before each keyframe, in a packet of its
    own."""
    encoder, shown_bit = {"vp8": ("libvpx", 0x10), "vp9": ("libvpx-vp9", 0x02)}[codec]
    target = io.BytesIO()
    with av.open(target, "w", format="matroska") as out:
        stream = out.add_stream(encoder, rate=25, options={"b": "1M", "cpu-used": "5", "g": "12"})
        stream.width, stream.height, stream.pix_fmt = 320, 180, "yuv420p"
        frames = [
            av.VideoFrame.from_ndarray(paint(number, Clip()), "rgb24") for number in range(60)
        ]
        for packet in [packet for frame in [*frames, None] for packet in stream.encode(frame)]:
            if packet.is_keyframe:
                data = bytearray(bytes(packet))
                data[0] ^= shown_bit
                hidden = av.Packet(bytes(data))
                hidden.stream, hidden.time_base = stream, packet.time_base
                hidden.pts = hidden.dts = packet.pts
                out.mux(hidden)
            out.mux(packet)
    return target.getvalue()


def in_groups_of_equal_time(data: bytes, together: int) -> bytes:
    """The same video, of which so many frames each have one time."""
    target = io.BytesIO()
    with av.open(io.BytesIO(data)) as source, av.open(target, "w", format="matroska") as out:
        copy = out.add_stream_from_template(source.streams.video[0])
        for number, packet in enumerate(source.demux(video=0)):
            if packet.size:
                packet.stream, packet.pts, packet.dts = copy, *[number // together * 10_000] * 2
                out.mux(packet)
    return target.getvalue()


def by_the_cards(bound, fps, max_frame, first, count):
    """The rule as the model cards state it, in other words than the code under test."""
    low, high = bound if bound is not None else (-1e5, 1e5)
    low, high = max(first, round(low * fps)), min(round(high * fps), max_frame)
    step = float(high - low) / count
    return [int(low + step / 2 + np.round(step * k)) for k in range(count)]


class TestSampleIndices:
    @pytest.mark.parametrize(
        ("frames", "count", "taken"),
        [
            (300, 8, [18, 55, 93, 130, 168, 205, 242, 280]),
            (300, 1, [149]),
            (3, 8, [0, 0, 0, 1, 1, 1, 2, 2]),
            (1, 4, [0, 0, 0, 0]),
        ],
    )
    def test_known_values(self, frames, count, taken):
        assert sample_indices(frames, count) == taken

    @given(
        st.integers(1, 20_000),
        st.integers(1, 128),
        st.sampled_from([12.0, 24000 / 1001, 25.0, 30000 / 1001, 60.0]),
    )
    def test_the_whole_video_is_sampled_as_by_the_cards(self, frames, count, fps):
        taken = sample_indices(frames, count, fps=fps)
        assert taken == by_the_cards(None, fps, frames - 1, 0, count)
        assert taken == sorted(taken)
        assert 0 <= taken[0] <= taken[-1] < frames

    @given(
        st.integers(1, 20_000),
        st.integers(1, 64),
        st.sampled_from([12.0, 24000 / 1001, 25.0, 30000 / 1001, 60.0]),
        st.floats(0, 400),
        st.floats(0, 400),
    )
    def test_a_part_is_sampled_as_by_the_cards(self, frames, count, fps, start, length):
        end = start + length
        expected = by_the_cards((start, end), fps, frames - 1, 0, count)
        if round(start * fps) > frames:
            with pytest.raises(UnitError):
                sample_indices(frames, count, fps=fps, start=start, end=end)
        else:
            taken = sample_indices(frames, count, fps=fps, start=start, end=end)
            assert taken == expected
            assert 0 <= min(taken) <= max(taken) < frames

    def test_a_start_in_the_frame_after_the_last_takes_the_last_frames(self):
        taken = sample_indices(334, 8, fps=29.97, start=11.14, end=12.14)
        assert taken == by_the_cards((11.14, 12.14), 29.97, 333, 0, 8) == [333] * 5 + [332] * 3
        uneven = np.array([0.0, 0.1, 3.0, 3.1])
        assert sample_times(uneven, 1.0, start=3.2, end=5.0) == [3]

    def test_a_start_before_the_first_frame_is_the_first_frame(self):
        assert sample_indices(100, 4, fps=25, start=-3, end=2) == by_the_cards(
            (-3, 2), 25, 99, 0, 4
        )

    @pytest.mark.parametrize(
        ("start", "end"),
        [(20, None), (3, 2), (None, -1), (math.nan, 1), (1, math.nan), (math.inf, None)],
    )
    def test_a_part_without_frames_is_a_bad_row(self, start, end):
        with pytest.raises(UnitError) as caught:
            sample_indices(100, 4, fps=25, start=start, end=end)
        assert caught.value.kind == "bad_row"

    def test_the_error_says_how_long_the_video_is(self):
        with pytest.raises(UnitError, match=r"of a video of 4.0 s"):
            sample_indices(100, 4, fps=25, start=20)


class TestSampleTimes:
    times = np.arange(100) / 25

    def test_one_frame_for_each_step(self):
        assert sample_times(self.times, 1.0) == [0, 25, 50, 75]
        assert sample_times(self.times, 25.0) == list(range(100))

    def test_start_and_end(self):
        assert sample_times(self.times, 2.0, start=1.0, end=2.0) == [25, 37, 50]

    def test_the_frame_on_the_screen_is_taken_where_the_rate_varies(self):
        assert sample_times(np.array([0.0, 0.1, 3.0, 3.1]), 1.0) == [0, 1, 1, 2]

    def test_past_the_end_is_a_bad_row(self):
        with pytest.raises(UnitError):
            sample_times(self.times, 1.0, start=9.0)

    @given(st.lists(st.floats(0.001, 2), min_size=1, max_size=60), st.floats(0.1, 50))
    def test_frames_are_in_order_and_there(self, steps, rate):
        times = np.cumsum([0.0, *steps])
        taken = sample_times(times, rate)
        assert taken[0] == 0
        assert taken == sorted(taken)
        assert taken[-1] < len(times)


def test_frame_labels():
    assert frame_labels(2) == "Frame1: <image>\nFrame2: <image>\n"
    assert frame_labels(2, "training") == "Frame-1: <image>\nFrame-2: <image>\n"


class TestDecoding:
    @pytest.mark.parametrize("name", list(KINDS))
    def test_every_frame_is_the_one_asked_for(self, name):
        clip = KINDS[name]
        video = VideoFile(kind(name))
        assert video.num_frames == len(clip.times or range(clip.frames))
        turned_back = {
            frame.number: np.rot90(frame.pixels, -clip.rotation // 90)
            for frame in video.frames(list(range(video.num_frames)))
        }
        assert {number: read_number(pixels) for number, pixels in turned_back.items()} == {
            number: number for number in range(video.num_frames)
        }

    @pytest.mark.parametrize(
        "name",
        ["h264", "hevc", "vp9", "av1", "mpeg4", "open_gop", "hevc_open_gop", "transport_stream"],
    )
    @pytest.mark.parametrize("numbers", [[0], [59], [17, 18], [3, 31, 33, 58]])
    def test_leaving_out_other_frames_changes_no_pixel(self, name, numbers):
        with av.open(io.BytesIO(kind(name))) as container:
            all_frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        found = {frame.number: frame.pixels for frame in VideoFile(kind(name)).frames(numbers)}
        assert sorted(found) == numbers
        for number in numbers:
            np.testing.assert_array_equal(found[number], all_frames[number])

    @pytest.mark.parametrize(
        "name", ["h264", "hevc", "vp9", "variable_rate", "with_sound", "matroska", "rotated_90"]
    )
    def test_pyav_and_decord_agree(self, name):
        ours = load_video(kind(name))
        decords = load_video(kind(name), VideoOptions(decoder="decord"))
        assert decords.notes == []
        assert ours.frame_numbers == decords.frame_numbers
        np.testing.assert_array_equal(ours.tiles, decords.tiles)

    def test_decord_leaves_the_libraries_of_other_codecs_alone(self, tmp_path):
        """In a process of its own, where nothing else has loaded the codecs before."""
        (tmp_path / "clip.mp4").write_bytes(kind("h264"))
        script = (
            "import sys, numpy as np\n"
            "from internvl_ops.media.video import VideoOptions, load_video\n"
            "load_video(open(sys.argv[1], 'rb').read(), VideoOptions(decoder='decord'))\n"
            "import imagecodecs\n"
            "deep = np.full((8, 8, 3), 819, np.uint16)\n"
            "assert (imagecodecs.png_decode(imagecodecs.png_encode(deep)) == deep).all()\n"
        )
        subprocess.run([sys.executable, "-c", script, tmp_path / "clip.mp4"], check=True)

    @pytest.mark.parametrize("name", ["av1", "raw_h264", "transport_stream"])
    def test_pyav_takes_over_where_decord_cannot(self, name):
        video = load_video(kind(name), VideoOptions(decoder="decord"))
        assert [read_number(tile) for tile in video.tiles] == video.frame_numbers
        assert "decord cannot" in video.notes[0]

    @pytest.mark.parametrize(
        ("name", "corner"),
        [("rotated_90", (-1, 0)), ("rotated_minus_90", (0, -1)), ("rotated_180", (-1, -1))],
    )
    def test_rotation_is_applied(self, name, corner):
        """The lowest bit is painted at the top left; frame 1 has it white."""
        stored = np.rot90(
            next(iter(VideoFile(kind("h264")).frames([1]))).pixels, KINDS[name].rotation // 90
        )
        frame = next(iter(VideoFile(kind(name)).frames([1])))
        assert np.abs(frame.pixels.astype(int) - stored).max() <= 2
        assert frame.pixels[corner].min() > 200

    @pytest.mark.parametrize("matrix", [
        (1, 0, 0, 1), (-1, 0, 0, 1), (1, 0, 0, -1), (-1, 0, 0, -1),
        (0, 1, 1, 0), (0, 1, -1, 0), (0, -1, 1, 0), (0, -1, -1, 0),
    ])  # fmt: skip
    @pytest.mark.parametrize("size", [1, 3])
    def test_a_display_matrix_turns_and_mirrors(self, matrix, size):
        """A point (x, y) is shown at (a x + c y, b x + d y), from the middle of the picture."""
        stored = next(iter(VideoFile(kind("h264")).frames([1]))).pixels
        a, b, c, d = matrix
        data = bytearray(kind("h264"))
        at = data.find(b"tkhd") + 44
        data[at : at + 36] = struct.pack(
            ">9i", *(size << 16) * np.array([a, b, 0, c, d, 0, 0, 0]), 1 << 30
        )
        frame = next(iter(VideoFile(bytes(data)).frames([1]))).pixels
        height, width = stored.shape[:2]
        assert frame.shape[:2] == ((width, height) if b else (height, width))
        for x, y in ((10, 20), (300, 5), (150, 170), (33, 44)):
            across, down = x - (width - 1) / 2, y - (height - 1) / 2
            shown_x = a * across + c * down + (frame.shape[1] - 1) / 2
            shown_y = b * across + d * down + (frame.shape[0] - 1) / 2
            np.testing.assert_array_equal(frame[int(shown_y), int(shown_x)], stored[y, x])
        video = load_video(bytes(data), VideoOptions(num_frames=1))
        assert (video.width, video.height) == (frame.shape[1], frame.shape[0])

    @pytest.mark.parametrize("structure", ["f" * 20, "pffpppffpf" * 2])
    @pytest.mark.parametrize("container", ["mpegts", "matroska", "mp4"])
    @pytest.mark.parametrize("order", ["tb", "bt"])
    def test_two_fields_are_one_frame(self, structure, container, order):
        video = VideoFile(corpus_fields.make(structure, container, order))
        assert video.num_frames == 20
        np.testing.assert_allclose(np.diff(video.timestamps), 0.04, atol=1e-3)
        for numbers in ([0], [7, 8, 19], list(range(20))):
            frames = list(video.frames(numbers))
            assert {frame.number: corpus_fields.read_number(frame.pixels) for frame in frames} == {
                number: number for number in numbers
            }
            assert not any(frame.stands_in or frame.damaged for frame in frames)
            assert all(np.ptp(frame.pixels) <= 1 for frame in frames)

    @pytest.mark.parametrize("codec", ["vp8", "vp9"])
    def test_frames_that_are_not_shown_are_not_counted(self, codec):
        video = VideoFile(with_hidden_frames(codec))
        assert video.num_frames == 60
        assert {
            frame.number: read_number(frame.pixels) for frame in video.frames(list(range(60)))
        } == {number: number for number in range(60)}

    @pytest.mark.parametrize("options", [{"bf": "3"}, {"bf": "0"}, {"bf": "2", "g": "10"}])
    def test_in_avi_frames_are_shown_in_another_order_than_stored(self, options):
        video = VideoFile(make(Clip(container="avi", options=options)))
        found = {frame.number: read_number(frame.pixels) for frame in video.frames([3, 17, 38, 59])}
        assert found == {number: number for number in (3, 17, 38, 59)}

    @pytest.mark.parametrize("b_frames", ["0", "2"])
    @pytest.mark.parametrize("together", [2, 60])
    def test_frames_of_equal_time_are_frames_of_their_own(self, b_frames, together):
        video = VideoFile(in_groups_of_equal_time(make(Clip(options={"bf": b_frames})), together))
        assert video.num_frames == 60
        assert {
            frame.number: read_number(frame.pixels) for frame in video.frames([0, 7, 8, 31, 59])
        } == {number: number for number in (0, 7, 8, 31, 59)}

    def test_frames_of_uneven_times_keep_their_times(self):
        video = VideoFile(kind("variable_rate"))
        np.testing.assert_allclose(
            video.timestamps, np.array(KINDS["variable_rate"].times) / 25, atol=1e-3
        )


class TestLoadVideo:
    def test_tiles_are_the_frames_in_order(self):
        video = load_video(kind("h264"), VideoOptions(num_frames=5))
        assert video.tiles.shape == (5, 3, 448, 448)
        assert video.tiles.dtype == np.uint8
        assert video.frame_numbers == sample_indices(60, 5)
        assert [read_number(tile) for tile in video.tiles] == video.frame_numbers
        assert video.timestamps == pytest.approx(
            [number / 25 for number in video.frame_numbers], abs=1e-6
        )
        assert (video.width, video.height, video.video_frames) == (320, 180, 60)
        assert (video.fps, video.duration_s) == pytest.approx((25.0, 2.4), abs=1e-6)
        assert video.tiles_per_frame == [1] * 5
        assert video.notes == []

    def test_a_tile_is_the_frame_resized(self):
        frame = next(iter(VideoFile(kind("h264")).frames([29])))
        for resize in ("fast", "exact"):
            video = load_video(
                kind("h264"), VideoOptions(num_frames=1, resize=resize, tile_size=224)
            )
            np.testing.assert_array_equal(
                video.tiles, tile_image(frame.pixels, tile_size=224, max_tiles=1, resize=resize)
            )

    def test_a_path_does_as_well_as_bytes(self, tmp_path):
        (tmp_path / "clip.mp4").write_bytes(kind("h264"))
        np.testing.assert_array_equal(
            load_video(str(tmp_path / "clip.mp4")).tiles, load_video(kind("h264")).tiles
        )

    def test_a_short_video_repeats_frames(self):
        video = load_video(kind("two_frames"), VideoOptions(num_frames=6))
        assert video.frame_numbers == sample_indices(2, 6)
        assert [read_number(tile) for tile in video.tiles] == video.frame_numbers

    def test_start_and_end(self):
        video = load_video(kind("h264"), VideoOptions(num_frames=4, start=1.0, end=2.0))
        assert video.frame_numbers == sample_indices(60, 4, fps=25, start=1.0, end=2.0)

    def test_a_start_past_the_end_is_a_bad_row(self):
        error = failure(kind("h264"), start=5.0)
        assert error.kind == "bad_row"
        assert "2.4 s" in error.message

    def test_start_and_end_are_seconds_even_where_the_rate_varies(self):
        video = load_video(kind("variable_rate"), VideoOptions(num_frames=4, start=2.0, end=3.0))
        assert all(2.0 <= time <= 3.0 for time in video.timestamps)

    def test_frames_a_second(self):
        video = load_video(kind("h264"), VideoOptions(fps=5))
        assert video.frame_numbers == list(range(0, 60, 5))

    def test_frames_a_second_are_limited_and_the_limit_is_told(self):
        video = load_video(kind("h264"), VideoOptions(fps=25, max_frames=6))
        assert len(video.frame_numbers) == 6
        assert video.notes == ["6 frames taken evenly instead of 60 at 25 a second"]

    def test_several_tiles_a_frame(self):
        video = load_video(kind("h264"), VideoOptions(num_frames=3, max_tiles=6))
        assert video.tiles_per_frame == [3, 3, 3]  # 2x1 and the thumbnail
        assert video.tiles.shape == (9, 3, 448, 448)
        assert [read_number(tile) for tile in video.tiles[2::3]] == video.frame_numbers

    def test_width_and_height_are_the_upright_ones(self):
        video = load_video(kind("rotated_90"))
        assert (video.width, video.height) == (180, 320)


class TestWhatIsNoGoodVideo:
    def test_sound_only(self):
        error = failure(audio_only())
        assert error.kind == "unsupported"
        assert "only audio" in error.message

    @pytest.mark.parametrize(
        ("data", "kind", "told"),
        [
            (b"", "corrupt", "0 bytes"),
            (b"<!DOCTYPE html><html>log in</html>", "unsupported", "HTML"),
            (b"\x89PNG\r\n\x1a\n" + bytes(100), "unsupported", "PNG"),
            (b"just text", "unsupported", "not a video"),
            (b"\0\0\0\x20ftypisom" + bytes(500), "corrupt", "MP4"),
        ],
    )
    def test_other_files(self, data, kind, told):
        error = failure(data)
        assert error.kind == kind
        assert told in error.message

    @pytest.mark.parametrize(
        "text",
        [
            "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile://{path}\n#EXT-X-ENDLIST\n",
            "ffconcat version 1.0\nfile {path}\n",
            "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nhttp://169.254.169.254/latest\n#EXT-X-ENDLIST\n",
        ],
    )
    @pytest.mark.parametrize("decoder", ["pyav", "decord"])
    def test_a_playlist_cannot_make_the_decoder_read_other_files(self, tmp_path, text, decoder):
        (tmp_path / "private.mp4").write_bytes(kind("h264"))
        error = failure(text.format(path=tmp_path / "private.mp4").encode(), decoder=decoder)
        assert error.kind == "unsupported"

    @pytest.mark.parametrize("name", ["fast_start", "matroska", "vp9"])
    def test_a_cut_file_is_an_error_or_by_choice_what_is_there(self, name):
        data = truncated(kind(name), 0.5)
        error = failure(data)
        assert error.kind == "corrupt"
        assert "ends early" in error.message
        video = load_video(data, VideoOptions(truncated="accept"))
        assert 5 < video.video_frames < 40
        assert [read_number(tile) for tile in video.tiles] == video.frame_numbers
        assert "of 60 frames are there" in video.notes[0]

    @pytest.mark.parametrize(
        "name", ["h264", "hevc", "matroska", "transport_stream", "vp9", "av1", "avi", "flv"]
    )
    def test_flipped_bits_give_a_video_or_an_error(self, name):
        kinds = set()
        for seed in range(25):
            try:
                video = load_video(flipped(kind(name), seed, flips=seed))
                assert len(video.tiles) == 8
            except UnitError as error:
                kinds.add(error.kind)
        assert kinds <= {"corrupt", "unsupported", "too_large"}

    def test_a_stream_that_begins_in_the_middle_of_the_file_does_no_harm(self):
        data = kind("transport_stream") + make(Clip(container="mpegts", audio=True))
        video = VideoFile(data)
        assert video.num_frames > 90
        assert {frame.number: read_number(frame.pixels) for frame in video.frames([0, 30, 59])} == {
            0: 0,
            30: 30,
            59: 59,
        }

    def test_parts_that_count_their_time_anew_follow_each_other(self):
        """As in recordings put together by writing one file after the other."""
        video = VideoFile(kind("transport_stream") * 3)
        assert video.num_frames == 180
        assert np.all(np.diff(video.timestamps) > 0)
        found = {
            frame.number: read_number(frame.pixels)
            for frame in video.frames(list(range(0, 180, 7)))
        }
        assert found == {number: number % 60 for number in range(0, 180, 7)}

    def test_frames_may_change_their_size_on_the_way(self):
        data = kind("transport_stream") + make(Clip(container="mpegts", width=160, height=240))
        video = load_video(data, VideoOptions(max_tiles=4))
        assert (video.width, video.height) == (320, 180)
        assert sum(video.tiles_per_frame) == len(video.tiles)
        assert split_video(data, ClipOptions(by="scenes"))

    def test_a_video_of_which_most_frames_are_lost_is_corrupt(self):
        data = bytearray(kind("long_gop"))
        start, end = data.find(b"mdat") + 2000, len(data) - 3000
        data[start:end] = bytes(end - start)
        error = failure(bytes(data))
        assert error.kind == "corrupt"
        assert "cannot be decoded" in error.message

    def test_a_few_lost_frames_are_told(self):
        data = flipped(kind("matroska"), 0, flips=20)
        video = load_video(data, VideoOptions(num_frames=60))
        assert any(note.startswith(("lost frames", "damaged frames")) for note in video.notes)


class TestLimits:
    def test_pixels(self):
        error = failure(kind("h264"), max_pixels=320 * 180 - 1)
        assert error.kind == "too_large"
        assert "320x180" in error.message
        assert "`max_pixels`" in error.message

    def test_a_header_that_lies_about_its_size(self):
        assert load_video(lying_size(kind("h264"), 65000, 65000)).width == 320

    def test_seconds(self):
        error = failure(kind("h264"), max_seconds=2.0)
        assert error.kind == "too_large"
        assert "`max_seconds`" in error.message

    def test_frames(self):
        assert (
            len(load_video(kind("h264"), VideoOptions(num_frames=500, max_frames=12)).tiles) == 12
        )


class TestClips:
    scenes = Clip(frames=200, cuts=(50, 101, 150), numbered=False)

    def spans(self, data, **options):
        return [
            (round(clip.start_s, 3), round(clip.end_s, 3))
            for clip in split_video(data, ClipOptions(**options))
        ]

    def test_by_length(self):
        assert self.spans(kind("h264"), length_s=1.0, min_length_s=0.1) == [
            (0, 1),
            (1, 2),
            (2, 2.4),
        ]

    def test_a_short_rest_is_joined_to_the_last(self):
        assert self.spans(kind("h264"), length_s=1.0, min_length_s=0.5) == [(0, 1), (1, 2.4)]

    def test_a_short_video_is_one_clip(self):
        assert self.spans(kind("h264"), length_s=10) == [(0, 2.4)]
        assert self.spans(kind("one_frame"), by="scenes") == [(0, 0.04)]

    @pytest.mark.parametrize(
        "clip",
        [
            scenes,
            Clip("vp9", frames=200, cuts=(50, 101, 150), numbered=False),
            Clip(
                frames=200,
                cuts=(50, 101, 150),
                numbered=False,
                options={"x264-params": "scenecut=0:bframes=6:b-adapt=0"},
            ),
        ],
        ids=["h264", "vp9", "no_keyframes_at_cuts"],
    )
    def test_by_scene(self, clip):
        assert self.spans(make(clip), by="scenes") == [(0, 2), (2, 4.04), (4.04, 6), (6, 8)]

    def test_the_work_grows_with_frames_and_their_size(self):
        small, longer, larger = (
            scene_work(
                make(Clip("mpeg4", width=width, height=height, frames=frames, numbered=False)),
                ClipOptions(),
            )
            for width, height, frames in [(320, 180, 9), (320, 180, 90), (1920, 1080, 9)]
        )
        assert longer == pytest.approx(10 * small)
        assert larger == pytest.approx(9 / 1800)

    def test_a_scene_is_not_shorter_than_the_least_length(self):
        assert all(
            end - start >= 2.5
            for start, end in self.spans(make(self.scenes), by="scenes", min_length_s=2.5)
        )

    def test_frames_of_a_clip_are_its_own(self):
        data = kind("h264")
        first, second = split_video(data, ClipOptions(length_s=1.2, min_length_s=0.1))
        for clip, low, high in ((first, 0, 30), (second, 30, 60)):
            video = load_video(data, VideoOptions(num_frames=8, start=clip.start_s, end=clip.end_s))
            assert all(low <= number < high for number in video.frame_numbers)

    def test_too_many_clips_are_an_error(self):
        with pytest.raises(UnitError) as caught:
            split_video(kind("h264"), ClipOptions(length_s=0.1, min_length_s=0, max_clips=10))
        assert caught.value.kind == "too_large"

    def test_sound_only_is_an_error(self):
        with pytest.raises(UnitError):
            split_video(audio_only())


def test_making_a_clip_leaves_the_process_as_it_was() -> None:
    """As root, the AV1 encoder makes the thread a real-time one."""
    before = os.sched_getscheduler(0)
    make(Clip("av1", frames=3))
    assert os.sched_getscheduler(0) == before
