"""Clean-up never takes what was acknowledged, and leaves nothing that nobody refers to."""

from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast
from uuid import uuid4

import pytest
from sqlalchemy import delete, insert, select

from imaging_fhir.errors import StorageUnavailable
from imaging_fhir.model.blob import Blob
from imaging_fhir.services.cleanup import CleanUp
from imaging_fhir.storage import blobs, leases, migrations, renditions, schema
from imaging_fhir.storage.database import Database, Transaction
from imaging_fhir.storage.folder import FolderBlobStore
from imaging_fhir.storage.ports import BlobStore, StagedBlob
from tests.interleaving import Gated, Scheduler, every_order, some_orders


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    with closing(Database(database_url)) as database:
        yield database


@pytest.fixture
def store(tmp_path: Path) -> FolderBlobStore:
    return FolderBlobStore(tmp_path / "blobs")


@pytest.fixture
def cleanup(database: Database, store: FolderBlobStore) -> CleanUp:
    return CleanUp(database=database, store=store)


def refer(transaction: Transaction, pk: int) -> int:
    """A Binary resource of the blob; its rid."""
    rid: int = transaction.execute(
        insert(schema.resource)
        .values(type="Binary", id=uuid4().hex, version=1, last_updated=0, deleted=False, body=b"{}")
        .returning(schema.resource.c.rid)
    ).scalar_one()
    transaction.execute(
        insert(schema.binary).values(rid=rid, blob=pk, content_type="application/pdf")
    )
    return rid


def forget(transaction: Transaction, rid: int) -> None:
    transaction.execute(delete(schema.binary).where(schema.binary.c.rid == rid))


def upload(database: Database, store: BlobStore, content: bytes) -> int:
    with store.stage([content], limit=1000) as staged:
        return blobs.keep(database, staged, refer)


def blob_of_binary(database: Database, rid: int) -> Blob:
    with database.read() as connection:
        pk = connection.execute(
            select(schema.binary.c.blob).where(schema.binary.c.rid == rid)
        ).scalar_one()
        return blobs.find(connection, pk)


def test_what_is_referred_to_stays(
    database: Database, store: FolderBlobStore, cleanup: CleanUp
) -> None:
    rid = upload(database, store, b"kept")
    report = cleanup.run()
    assert (report.unreferenced, report.without_live_row, report.bytes) == (0, 0, 0)
    with store.open(blob_of_binary(database, rid)) as stream:
        assert stream.read() == b"kept"


def test_what_nothing_refers_to_any_more_is_removed_with_its_renditions(
    database: Database, store: FolderBlobStore, cleanup: CleanUp
) -> None:
    upload(database, store, b"kept for a while")
    database.write(give_rendition)
    database.write(lambda transaction: transaction.execute(delete(schema.binary)))
    report = cleanup.run()
    assert (report.unreferenced, report.bytes) == (1, 16)
    assert list(store.blobs()) == []
    with database.read() as connection:
        assert connection.execute(select(schema.rendition)).all() == []
    assert cleanup.run().unreferenced == 0


def give_rendition(transaction: Transaction) -> None:
    pk = transaction.execute(select(schema.blob.c.pk)).scalar_one()
    picture = renditions.StoredRendition(media_type="image/png", body=b"png", error=None)
    renditions.put(transaction, pk, "thumbnail", 1, picture)


def test_a_rendition_that_comes_after_its_blob_has_died_is_not_kept(
    database: Database, store: FolderBlobStore, cleanup: CleanUp
) -> None:
    upload(database, store, b"kept for a while")
    database.write(lambda transaction: transaction.execute(delete(schema.binary)))
    cleanup.run()
    database.write(give_rendition)
    with database.read() as connection:
        assert connection.execute(select(schema.rendition)).all() == []


def test_every_column_that_points_to_a_blob_keeps_it_or_goes_with_it() -> None:
    keeps = {f"{column.table.name}.{column.name}" for column in blobs.REFERENCES}
    goes = {f"{column.table.name}.{column.name}" for column in blobs.BELONGINGS}
    assert {"instance.blob", "document.blob", "binary.blob", "conflict.blob"} <= keeps
    assert goes == {"rendition.blob", "rendered.blob", "frame_table.blob"}


def test_bytes_that_a_crash_left_in_their_place_are_swept(
    store: FolderBlobStore, cleanup: CleanUp
) -> None:
    with store.stage([b"never committed"], limit=100) as staged:
        staged.place(0)
    assert cleanup.run().without_live_row == 1
    assert list(store.blobs()) == []


def test_the_bytes_of_a_dead_row_are_swept(
    database: Database, store: FolderBlobStore, cleanup: CleanUp
) -> None:
    upload(database, store, b"dies")
    database.write(lambda transaction: transaction.execute(delete(schema.binary)))
    dead = database.write(partial(blobs.mark_dead, pks=[1]))  # and the process is killed here
    assert list(store.blobs()) == dead
    assert cleanup.run().without_live_row == 1
    assert list(store.blobs()) == []


def test_nothing_dies_while_a_backup_copies(
    database: Database, store: FolderBlobStore, cleanup: CleanUp
) -> None:
    upload(database, store, b"was live when the backup began")
    with leases.held(database, blobs.BACKUP):
        database.write(lambda transaction: transaction.execute(delete(schema.binary)))
        with pytest.raises(StorageUnavailable, match="backup"):
            cleanup.run()
        assert len(list(store.blobs())) == 1
    assert cleanup.run().unreferenced == 1


# What was there before the upload: each leaves a content in one state.

Prepare = Callable[[Database, FolderBlobStore, bytes], int | None]


def unknown(database: Database, store: FolderBlobStore, content: bytes) -> None:
    """Nothing."""


def placed_without_row(database: Database, store: FolderBlobStore, content: bytes) -> None:
    with store.stage([content], limit=1000) as staged:
        staged.place(0)


def live_and_unreferenced(database: Database, store: FolderBlobStore, content: bytes) -> None:
    with store.stage([content], limit=1000) as staged:
        blobs.keep(database, staged, lambda transaction, pk: None)


def dead_with_bytes(database: Database, store: FolderBlobStore, content: bytes) -> None:
    live_and_unreferenced(database, store, content)
    with database.read() as connection:
        pks = blobs.unreferenced(connection, limit=2)
    assert len(database.write(partial(blobs.mark_dead, pks=pks))) == 1


def dead_without_bytes(database: Database, store: FolderBlobStore, content: bytes) -> None:
    dead_with_bytes(database, store, content)
    CleanUp(database=database, store=store).run()


STATES: tuple[Prepare, ...] = (
    unknown,
    placed_without_row,
    live_and_unreferenced,
    dead_with_bytes,
    dead_without_bytes,
    upload,
)


class Scene:
    """Uploads and clean-ups of one content, all steps in the hand of a scheduler."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.database = database
        self.folder = folder
        self.scheduler = Scheduler()
        self.gated_database = cast(Any, Gated(database, self.scheduler, "read", "write"))
        self.numbers = count()

    def play(self, prepare: Prepare, uploads: int, choose: Callable[[int], int]) -> None:
        number = next(self.numbers)
        store, content = FolderBlobStore(self.folder / str(number)), b"content %d" % number
        earlier = prepare(self.database, store, content)
        acknowledged: list[int] = []
        actors = {
            f"upload {number}": partial(self.upload, store, content, acknowledged)
            for number in range(uploads)
        }
        actors["clean-up"] = partial(self.clean_up, store, earlier)
        self.scheduler.run(actors, choose)
        assert len(acknowledged) == uploads
        self.check(store, content, acknowledged)

    def upload(self, store: BlobStore, content: bytes, acknowledged: list[int]) -> None:
        with store.stage([content], limit=1000) as staged:
            gated = cast(StagedBlob, Gated(staged, self.scheduler, "place"))
            acknowledged.append(blobs.keep(self.gated_database, gated, refer))

    def clean_up(self, store: BlobStore, earlier: int | None) -> None:
        """What an earlier upload referred to is deleted first, so that there is work."""
        if earlier is not None:
            self.gated_database.write(partial(forget, rid=earlier))
        gated = cast(BlobStore, Gated(store, self.scheduler, "remove", "blobs"))
        CleanUp(database=self.gated_database, store=gated).run()

    def check(self, store: BlobStore, content: bytes, acknowledged: list[int]) -> None:
        CleanUp(database=self.database, store=store).run()
        (kept,) = {blob_of_binary(self.database, rid) for rid in acknowledged}
        with store.open(kept) as stream:
            assert stream.read() == content
        assert list(store.blobs()) == [kept]
        with self.database.read() as connection:
            assert blobs.generation_for(connection, kept.sha256) == kept.generation
            assert blobs.unreferenced(connection, limit=1) == []


@pytest.fixture
def scene(request: pytest.FixtureRequest) -> Iterator[Scene]:
    """In memory where the machine allows it: thousands of commits need no disk here."""
    memory = Path("/dev/shm")  # noqa: S108
    with TemporaryDirectory(dir=memory if memory.is_dir() else None) as name:
        url = f"sqlite:///{name}/test.db"
        if request.param == "postgresql":
            url = request.getfixturevalue("postgresql_url")
        migrations.upgrade(url)
        with closing(Database(url)) as database:
            yield Scene(database, Path(name))


each_engine = pytest.mark.parametrize("scene", ["sqlite", "postgresql"], indirect=True)
each_state = pytest.mark.parametrize("prepare", STATES, ids=lambda prepare: prepare.__name__)


@pytest.mark.long
@pytest.mark.timeout(1200)
@each_engine
@each_state
def test_an_upload_and_a_clean_up_in_every_order_lose_nothing_and_leave_nothing(
    prepare: Prepare, scene: Scene
) -> None:
    assert every_order(partial(scene.play, prepare, 1)) > 20


@each_engine
@each_state
def test_an_upload_and_a_clean_up_in_many_orders(prepare: Prepare, scene: Scene) -> None:
    some_orders(partial(scene.play, prepare, 1), count=25, seed=12)


@each_engine
@each_state
def test_two_uploads_of_one_content_and_a_clean_up_in_many_orders(
    prepare: Prepare, scene: Scene
) -> None:
    some_orders(partial(scene.play, prepare, 2), count=15, seed=11)
