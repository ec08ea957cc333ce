//! A tap on the system calls with which this process changes files. The executable defines them itself, so the linker binds every store
//! in it, Rust or C, to these instead of the C library's: no preloading, no second process, no change to a store.
//! Must never change what a call does, but for one thing: what is recorded is not really flushed, so that a suite of cuts stays fast.
#![expect(unsafe_code, reason = "defines the C library's entry points: there is no other way below both stores")]

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{CStr, OsStr, c_char, c_int, c_long, c_void};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use libc::{iovec, mode_t, off_t, size_t, ssize_t};

/// One thing that happened to the recorded folder, in order.
#[derive(Clone, Debug)]
pub enum Op {
    /// A new, empty file. Its number is never used again, whatever it is renamed to.
    Create { path: PathBuf, file: usize },
    /// A new folder.
    MakeFolder(PathBuf),
    /// A file under another name; whatever had that name is gone.
    Rename { from: PathBuf, to: PathBuf },
    /// A name is gone.
    Remove(PathBuf),
    /// Bytes at an offset.
    Write { file: usize, offset: usize, bytes: Vec<u8> },
    /// Cut or extended by zeros.
    Resize { file: usize, size: usize },
    /// The file's bytes and size are durable when this has happened. Not its name.
    Sync { file: usize },
    /// The names in a folder are durable when this has happened.
    SyncFolder(PathBuf),
    /// The workload's own mark: everything up to this number was acknowledged.
    Acknowledged(u64),
}

/// What an open descriptor stands for.
enum Handle {
    File { file: usize, append: bool },
    Folder(PathBuf),
}

struct Tap {
    root: PathBuf,
    files: BTreeMap<PathBuf, usize>,
    folders: BTreeSet<PathBuf>,
    handles: BTreeMap<c_int, Handle>,
    next: usize,
    ops: Vec<Op>,
}

static ON: AtomicBool = AtomicBool::new(false);
static TAP: Mutex<Option<Tap>> = Mutex::new(None);

/// Starts recording what happens under `root`. What is there already stands first, as durable.
pub fn start(root: &Path) {
    let mut tap = Tap {
        root: root.to_owned(),
        files: BTreeMap::new(),
        folders: BTreeSet::from([root.to_owned()]),
        handles: BTreeMap::new(),
        next: 0,
        ops: Vec::new(),
    };
    for (path, content) in walk(root) {
        let Some(bytes) = content else {
            tap.folders.insert(path.clone());
            tap.ops.push(Op::MakeFolder(path));
            continue;
        };
        tap.next += 1;
        let file = tap.next;
        tap.files.insert(path.clone(), file);
        tap.ops.extend([Op::Create { path, file }, Op::Write { file, offset: 0, bytes }, Op::Sync { file }]);
    }
    let folders = tap.folders.iter().cloned().map(Op::SyncFolder).collect::<Vec<_>>();
    tap.ops.extend(folders);
    *lock() = Some(tap);
    ON.store(true, Ordering::SeqCst);
}

/// Everything under a folder, parents first; `None` for a folder.
pub fn walk(root: &Path) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for path in std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path.clone());
                found.insert(path, None);
            } else {
                let bytes = std::fs::read(&path).unwrap();
                found.insert(path, Some(bytes));
            }
        }
    }
    found
}

/// Marks that everything up to this number is acknowledged.
pub fn acknowledged(number: u64) {
    if let Some(tap) = lock().as_mut() {
        tap.ops.push(Op::Acknowledged(number));
    }
}

/// Stops and hands out what happened.
pub fn stop() -> Vec<Op> {
    ON.store(false, Ordering::SeqCst);
    lock().take().map(|tap| tap.ops).unwrap_or_default()
}

fn lock() -> MutexGuard<'static, Option<Tap>> {
    TAP.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Carries out a call and tells the tap of it, as one step, so that the order recorded is the order in which it happened.
fn tapped(call: impl FnOnce() -> c_long, note: impl FnOnce(&mut Tap, c_long)) -> c_long {
    if !ON.load(Ordering::SeqCst) {
        return call();
    }
    let mut tap = lock();
    let result = call();
    if result >= 0
        && let Some(tap) = tap.as_mut()
    {
        note(tap, result);
    }
    result
}

impl Tap {
    /// A path of a call, if it is one of the recorded folder's.
    fn path(&self, name: *const c_char) -> Option<PathBuf> {
        // SAFETY: the callers of these entry points pass a C string, as their contract demands.
        let name = unsafe { CStr::from_ptr(name) };
        let path = PathBuf::from(OsStr::from_bytes(name.to_bytes()));
        path.starts_with(&self.root).then_some(path)
    }

    fn opened(&mut self, name: *const c_char, flags: c_int, descriptor: c_int) {
        self.handles.remove(&descriptor);
        let Some(path) = self.path(name) else { return };
        if self.folders.contains(&path) {
            self.handles.insert(descriptor, Handle::Folder(path));
            return;
        }
        let file = match self.files.get(&path) {
            Some(file) => *file,
            None => {
                self.next += 1;
                self.files.insert(path.clone(), self.next);
                self.ops.push(Op::Create { path, file: self.next });
                self.next
            }
        };
        if flags & libc::O_TRUNC != 0 {
            self.ops.push(Op::Resize { file, size: 0 });
        }
        self.handles.insert(descriptor, Handle::File { file, append: flags & libc::O_APPEND != 0 });
    }

    fn file(&self, descriptor: c_int) -> Option<usize> {
        match self.handles.get(&descriptor) {
            Some(Handle::File { file, .. }) => Some(*file),
            _ => None,
        }
    }

    /// A write at the descriptor's own position, which has moved by `length` already.
    fn written(&mut self, descriptor: c_int, pieces: &[&[u8]], length: c_long) {
        let Some(Handle::File { append, .. }) = self.handles.get(&descriptor) else { return };
        // SAFETY: both only ask about a descriptor.
        let end = unsafe { libc::lseek(descriptor, 0, if *append { libc::SEEK_END } else { libc::SEEK_CUR }) };
        self.written_at(descriptor, pieces, end - length, length);
    }

    fn written_at(&mut self, descriptor: c_int, pieces: &[&[u8]], offset: off_t, length: c_long) {
        let Some(file) = self.file(descriptor) else { return };
        let mut bytes = pieces.concat();
        bytes.truncate(usize::try_from(length).unwrap_or_default());
        self.ops.push(Op::Write { file, offset: usize::try_from(offset).unwrap_or_default(), bytes });
    }

    fn resized(&mut self, descriptor: c_int, size: off_t) {
        if let Some(file) = self.file(descriptor) {
            self.ops.push(Op::Resize { file, size: usize::try_from(size).unwrap_or_default() });
        }
    }

    fn removed(&mut self, name: *const c_char) {
        if let Some(path) = self.path(name) {
            self.files.remove(&path);
            self.folders.remove(&path);
            self.ops.push(Op::Remove(path));
        }
    }

    fn renamed(&mut self, from: *const c_char, to: *const c_char) {
        if let (Some(from), Some(to)) = (self.path(from), self.path(to)) {
            if let Some(file) = self.files.remove(&from) {
                self.files.insert(to.clone(), file);
            }
            self.ops.push(Op::Rename { from, to });
        }
    }
}

/// The bytes of a call's buffer.
///
/// # Safety
/// As for `write`: `length` bytes are readable at `buffer`.
unsafe fn piece<'a>(buffer: *const c_void, length: size_t) -> &'a [u8] {
    if length == 0 { &[] } else { unsafe { std::slice::from_raw_parts(buffer.cast(), length) } }
}

/// # Safety
/// As for `writev`.
unsafe fn pieces<'a>(vector: *const iovec, count: c_int) -> Vec<&'a [u8]> {
    let vector = unsafe { std::slice::from_raw_parts(vector, usize::try_from(count).unwrap_or_default()) };
    vector.iter().map(|part| unsafe { piece(part.iov_base, part.iov_len) }).collect()
}

/// The kernel's answers fit the C types that it is asked in.
#[expect(clippy::cast_possible_truncation, reason = "descriptors and 0 or -1")]
fn short(result: c_long) -> c_int {
    result as c_int
}

/// Flushes, unless it is recorded.
fn flush(descriptor: c_int, call: c_long) -> c_int {
    let mut recorded = false;
    if ON.load(Ordering::SeqCst)
        && let Some(tap) = lock().as_mut()
        && let Some(handle) = tap.handles.get(&descriptor)
    {
        recorded = true;
        tap.ops.push(match handle {
            Handle::File { file, .. } => Op::Sync { file: *file },
            Handle::Folder(path) => Op::SyncFolder(path.clone()),
        });
    }
    // SAFETY: a system call with its own arguments.
    if recorded { 0 } else { short(unsafe { libc::syscall(call, descriptor) }) }
}

fn open_any(name: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    // SAFETY: the caller's own arguments.
    let call = || unsafe { libc::syscall(libc::SYS_openat, libc::AT_FDCWD, name, flags, mode) };
    short(tapped(call, |tap, descriptor| tap.opened(name, flags, short(descriptor))))
}

fn truncate_any(descriptor: c_int, size: off_t) -> c_int {
    // SAFETY: the caller's own arguments.
    short(tapped(|| unsafe { libc::syscall(libc::SYS_ftruncate, descriptor, size) }, |tap, _| tap.resized(descriptor, size)))
}

fn pwrite_any(descriptor: c_int, buffer: *const c_void, length: size_t, offset: off_t) -> ssize_t {
    // SAFETY: the caller's own arguments.
    let call = || unsafe { libc::syscall(libc::SYS_pwrite64, descriptor, buffer, length, offset) };
    tapped(call, |tap, done| tap.written_at(descriptor, &[unsafe { piece(buffer, length) }], offset, done)) as ssize_t
}

/// Defines entry points of the C library.
macro_rules! entry {
    ($($name:ident($($argument:ident: $kind:ty),*) -> $result:ty $body:block)*) => { $(
        #[unsafe(no_mangle)]
        extern "C" fn $name($($argument: $kind),*) -> $result $body
    )* };
}

// `open` is variadic in C; a mode that was not passed is not looked at by the kernel.
entry! {
    open(name: *const c_char, flags: c_int, mode: mode_t) -> c_int { open_any(name, flags, mode) }
    open64(name: *const c_char, flags: c_int, mode: mode_t) -> c_int { open_any(name, flags, mode) }
    close(descriptor: c_int) -> c_int {
        short(tapped(|| unsafe { libc::syscall(libc::SYS_close, descriptor) }, |tap, _| drop(tap.handles.remove(&descriptor))))
    }
    write(descriptor: c_int, buffer: *const c_void, length: size_t) -> ssize_t {
        let call = || unsafe { libc::syscall(libc::SYS_write, descriptor, buffer, length) };
        tapped(call, |tap, done| tap.written(descriptor, &[unsafe { piece(buffer, length) }], done)) as ssize_t
    }
    writev(descriptor: c_int, vector: *const iovec, count: c_int) -> ssize_t {
        let call = || unsafe { libc::syscall(libc::SYS_writev, descriptor, vector, count) };
        tapped(call, |tap, done| tap.written(descriptor, &unsafe { pieces(vector, count) }, done)) as ssize_t
    }
    pwrite(descriptor: c_int, buffer: *const c_void, length: size_t, offset: off_t) -> ssize_t {
        pwrite_any(descriptor, buffer, length, offset)
    }
    pwrite64(descriptor: c_int, buffer: *const c_void, length: size_t, offset: off_t) -> ssize_t {
        pwrite_any(descriptor, buffer, length, offset)
    }
    ftruncate(descriptor: c_int, size: off_t) -> c_int { truncate_any(descriptor, size) }
    ftruncate64(descriptor: c_int, size: off_t) -> c_int { truncate_any(descriptor, size) }
    fsync(descriptor: c_int) -> c_int { flush(descriptor, libc::SYS_fsync) }
    fdatasync(descriptor: c_int) -> c_int { flush(descriptor, libc::SYS_fdatasync) }
    unlink(name: *const c_char) -> c_int {
        let call = || unsafe { libc::syscall(libc::SYS_unlinkat, libc::AT_FDCWD, name, 0) };
        short(tapped(call, |tap, _| tap.removed(name)))
    }
    rmdir(name: *const c_char) -> c_int {
        let call = || unsafe { libc::syscall(libc::SYS_unlinkat, libc::AT_FDCWD, name, libc::AT_REMOVEDIR) };
        short(tapped(call, |tap, _| tap.removed(name)))
    }
    rename(from: *const c_char, to: *const c_char) -> c_int {
        let call = || unsafe { libc::syscall(libc::SYS_renameat2, libc::AT_FDCWD, from, libc::AT_FDCWD, to, 0) };
        short(tapped(call, |tap, _| tap.renamed(from, to)))
    }
    mkdir(name: *const c_char, mode: mode_t) -> c_int {
        let call = || unsafe { libc::syscall(libc::SYS_mkdirat, libc::AT_FDCWD, name, mode) };
        short(tapped(call, |tap, _| if let Some(path) = tap.path(name) {
            tap.folders.insert(path.clone());
            tap.ops.push(Op::MakeFolder(path));
        }))
    }
}
