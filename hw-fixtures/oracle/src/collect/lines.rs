//! Lines from a socket, with a bound on their length and on how long one is waited for.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use crate::limits::{LINE_BYTES_MAX, READ_TURN};

/// A connection that sends lines.
#[derive(Debug)]
pub struct Lines {
    stream: BufReader<UnixStream>,
    part: Vec<u8>,
    /// The line now coming is too long; it is passed over to its end.
    over: bool,
}

/// What came.
#[derive(Debug, PartialEq, Eq)]
pub enum Line {
    /// A line, without its end.
    Whole(Vec<u8>),
    /// Nothing for a while.
    Silence,
    /// The other side closed.
    End,
}

impl Lines {
    /// Connects and says something.
    pub fn ask(socket: &Path, request: &str) -> io::Result<Self> {
        let mut stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(READ_TURN))?;
        stream.set_write_timeout(Some(READ_TURN))?;
        stream.write_all(format!("{request}\n").as_bytes())?;
        Ok(Self { stream: BufReader::new(stream), part: Vec::new(), over: false })
    }

    /// The next line.
    pub fn wait(&mut self) -> io::Result<Line> {
        loop {
            let ready = match self.stream.fill_buf() {
                Ok([]) => return Ok(Line::End),
                Ok(ready) => ready,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                    return Ok(Line::Silence);
                }
                Err(error) => return Err(error),
            };
            let end = ready.iter().position(|byte| *byte == b'\n');
            let piece = ready.get(..end.unwrap_or(ready.len())).unwrap_or_default();
            if self.part.len() + piece.len() > LINE_BYTES_MAX {
                self.part.clear();
                self.over = true;
            }
            if !self.over {
                self.part.extend_from_slice(piece);
            }
            let used = piece.len() + usize::from(end.is_some());
            self.stream.consume(used);
            if end.is_some() {
                let over = std::mem::take(&mut self.over);
                let line = std::mem::take(&mut self.part);
                if !over {
                    return Ok(Line::Whole(line));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    #[test]
    fn lines_come_whole_and_too_long_ones_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("s");
        let listener = UnixListener::bind(&socket).unwrap();
        let mut lines = Lines::ask(&socket, "hello").unwrap();
        let (mut other, _) = listener.accept().unwrap();
        let writer = std::thread::spawn(move || {
            let mut asked = [0; 6];
            io::Read::read_exact(&mut other, &mut asked).unwrap();
            assert_eq!(&asked, b"hello\n");
            other.write_all(b"one\ntw").unwrap();
            std::thread::sleep(READ_TURN * 2);
            other.write_all(b"o\n").unwrap();
            other.write_all(&vec![b'x'; LINE_BYTES_MAX * 2]).unwrap();
            other.write_all(b"\nthree\nrest").unwrap();
        });
        assert_eq!(lines.wait().unwrap(), Line::Whole(b"one".to_vec()));
        assert_eq!(lines.wait().unwrap(), Line::Silence);
        let mut seen = Vec::new();
        loop {
            match lines.wait().unwrap() {
                Line::Whole(line) => seen.push(String::from_utf8(line).unwrap()),
                Line::Silence => {}
                Line::End => break,
            }
        }
        assert_eq!(seen, ["two", "three"]);
        writer.join().unwrap();
    }
}
