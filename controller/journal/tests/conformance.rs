//! Every store passes every law; a tampered chain is found.

use journal::chain::Head;
use journal::conformance::*;
use journal::store::Error;

#[test]
fn every_store_passes_every_law() {
    for maker in &STORES {
        for (name, law) in [
            ("keeps what it acknowledged", keeps_what_it_acknowledged as fn(&Maker, &std::path::Path) -> Result<(), String>),
            ("refuses a moved head", refuses_a_moved_head),
            ("is made once", is_made_once),
            ("is read beside its writer", is_read_beside_its_writer),
            ("puts a base in place of old entries", puts_a_base_in_place_of_old_entries),
            ("begins with a base", begins_with_a_base),
        ] {
            let directory = tempfile::tempdir().unwrap();
            law(maker, directory.path()).unwrap_or_else(|why| panic!("{}: {name}: {why}", maker.name));
        }
    }
}

#[test]
fn a_changed_record_is_found() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = (STORES[0].create)(directory.path(), &sample_meta()).unwrap();
    store.append(&Head::default(), &[sample(1), sample(2), sample(3)]).unwrap();
    drop(store);
    let raw = rusqlite::Connection::open(directory.path().join(journal::sqlite_store::FILE)).unwrap();
    raw.execute("UPDATE entry SET record = replace(record, 'number 2', 'number 9') WHERE number = 2", []).unwrap();
    drop(raw);
    let store = (STORES[0].open)(directory.path()).unwrap();
    let mut seen = 0;
    let result = store.replay(&Head::default(), &mut |_| seen += 1);
    assert!(matches!(result, Err(Error::Broken(why)) if why.contains("entry 2")));
    assert_eq!(seen, 1);
}

#[test]
fn a_removed_record_is_found() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = (STORES[0].create)(directory.path(), &sample_meta()).unwrap();
    store.append(&Head::default(), &[sample(1), sample(2), sample(3)]).unwrap();
    drop(store);
    let raw = rusqlite::Connection::open(directory.path().join(journal::sqlite_store::FILE)).unwrap();
    raw.execute("DELETE FROM entry WHERE number = 2", []).unwrap();
    drop(raw);
    let store = (STORES[0].open)(directory.path()).unwrap();
    assert!(matches!(store.replay(&Head::default(), &mut |_| ()), Err(Error::Broken(why)) if why.contains("missing")));
}

#[test]
fn a_second_process_is_refused_by_name() {
    let directory = tempfile::tempdir().unwrap();
    journal::create(directory.path(), vocabulary::estate::StoreKind::Sqlite, &sample_meta()).unwrap();
    let held = journal::open(directory.path()).unwrap();
    assert!(matches!(journal::open(directory.path()), Err(Error::Held { .. })));
    drop(held);
    journal::open(directory.path()).unwrap();
}

#[test]
fn a_database_of_the_layout_before_is_brought_to_this_one_and_a_later_one_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = (STORES[0].create)(directory.path(), &sample_meta()).unwrap();
    let head = store.append(&Head::default(), &[sample(1), sample(2), sample(3)]).unwrap();
    drop(store);
    let raw = |sql: &str| {
        let raw = rusqlite::Connection::open(directory.path().join(journal::sqlite_store::FILE)).unwrap();
        raw.execute_batch(sql).unwrap();
    };
    raw("DROP TABLE base; PRAGMA user_version = 1;");
    for _ in 0..2 {
        let store = (STORES[0].open)(directory.path()).unwrap();
        assert_eq!((store.head().unwrap(), store.base().unwrap()), (head.clone(), None));
    }
    raw("PRAGMA user_version = 3;");
    assert!(matches!((STORES[0].open)(directory.path()), Err(Error::Broken(why)) if why.contains("layout 3")));
}
