from contextlib import closing

from index.gallery.verification import verify_gallery
from index.postgres.database import Database
from index.postgres.record_store import PostgresRecordStore
from index.postgres.verified_records import PostgresVerifiedRecords
from tests.index.gallery.memory_backend import DictImages
from tests.index.records import image, record, values
from tests.postgres_server import PostgresServer


def test_a_verification_finds_what_is_damaged_and_missing(postgres_url: str, postgres_server: PostgresServer) -> None:
    files = DictImages()
    records = [record(seed, source=f"{seed}.jpg") for seed in range(1, 6)]
    files.put((one.content, image(seed)) for seed, one in enumerate(records, 1))
    with closing(PostgresRecordStore(Database(postgres_url))) as store, store.transaction() as writer:
        for one in records:
            writer.insert(one)
    with closing(Database(postgres_url)) as database:
        stored = PostgresVerifiedRecords(database)
        assert stored.num_records() == 5
        assert (stored.seqs_after(0, 2), stored.seqs_after(2, 9), stored.seqs_after(5, 9)) == ([1, 2], [3, 4, 5], [])
        assert {seq: values(one) for seq, one in stored.records_at([2, 9]).items()} == {2: values(records[1])}
        assert verify_gallery(stored, files).damaged_records == []

        postgres_server.execute("UPDATE record SET camera = 'x' WHERE seq = 2", url=postgres_url)
        del files.files[records[3].content]
        found = verify_gallery(stored, files)
        assert [(one.seq, one.id, one.source) for one in found.damaged_records] == [(2, records[1].id, "2.jpg")]
        assert "its checksum differs" in found.damaged_records[0].problem
        assert [(one.content, one.problem) for one in found.lost_images] == [(records[3].content, "missing")]
        assert found.num_records == 5
        described = stored.describe([1, 2, 9])
        assert (sorted(described), described[1].problem) == ([1, 2], None)
