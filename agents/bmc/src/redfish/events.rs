//! The bytes of an event stream (server-sent events, WHATWG HTML section "Server-sent events"; Redfish, DSP0266, "Server-sent events"), as
//! far as a wake-up needs them: whether an event is complete. Total over any bytes and any cutting of them.
//! Must never keep what an event says, let alone hand it on: what is believed is read.

use std::time::Instant;

use crate::limits;

/// The field that makes an event of lines; without it a blank line ends nothing.
const DATA: &[u8] = b"data";
/// A byte order mark, which may stand before everything.
const MARK: [u8; 3] = [0xef, 0xbb, 0xbf];

/// Why a stream is not worth listening to any more.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Flaw {
    /// A line without an end.
    #[error("a line of its event stream is longer than {} bytes", limits::EVENT_LINE_MAX)]
    Line,
    /// An event without an end.
    #[error("an event of its stream is larger than {} bytes", limits::EVENT_MAX)]
    Event,
    /// More than a BMC has to say.
    #[error(
        "its event stream is a flood: more than {} wake-ups or {} bytes within {:?}",
        limits::WAKES_MAX,
        limits::EVENT_BYTES_MAX,
        limits::EVENTS_WINDOW
    )]
    Flood,
}

/// Reads one stream from its beginning. Its size does not grow with what it reads.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Decoder {
    /// Bytes of the mark seen at the beginning; `MARK.len()` once that is over.
    mark: usize,
    /// Bytes of this line so far.
    line: usize,
    /// So many of them are those of the field's name, while all were.
    name: Option<usize>,
    /// Bytes of this event so far.
    event: usize,
    /// This event has data.
    data: bool,
    /// The byte before was a carriage return: a line feed now belongs to it.
    returned: bool,
}

impl Decoder {
    /// Takes the next bytes; how many events they complete. After a flaw the stream is to be closed.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<u32, Flaw> {
        let mut complete: u32 = 0;
        for byte in bytes {
            complete = complete.saturating_add(u32::from(self.take(*byte)?));
        }
        Ok(complete)
    }

    /// True if this byte completes an event.
    fn take(&mut self, byte: u8) -> Result<bool, Flaw> {
        match MARK.get(self.mark) {
            Some(expected) if byte == *expected => {
                self.mark += 1;
                return Ok(false);
            }
            // the beginning of a mark that came to none is the beginning of a line
            Some(_) => self.line = std::mem::replace(&mut self.mark, MARK.len()),
            None => {}
        }
        let second_half = std::mem::take(&mut self.returned) && byte == b'\n';
        match byte {
            b'\n' if second_half => Ok(false),
            b'\r' | b'\n' => {
                self.returned = byte == b'\r';
                Ok(self.end_line())
            }
            _ => {
                self.extend(byte);
                self.bounded()?;
                Ok(false)
            }
        }
    }

    fn extend(&mut self, byte: u8) {
        let matched = if self.line == 0 { Some(0) } else { self.name };
        self.name = match matched {
            // the name is whole, and what follows says so
            Some(matched) if matched == DATA.len() && byte == b':' => {
                self.data = true;
                None
            }
            Some(matched) if DATA.get(matched) == Some(&byte) => Some(matched + 1),
            _ => None,
        };
        self.line += 1;
        self.event += 1;
    }

    /// A line of nothing but the name is a field without a value; a blank line completes an event that has data.
    fn end_line(&mut self) -> bool {
        self.data |= self.line > 0 && self.name == Some(DATA.len());
        let blank = self.line == 0;
        self.line = 0;
        if blank {
            self.event = 0;
        }
        blank && std::mem::take(&mut self.data)
    }

    fn bounded(&self) -> Result<(), Flaw> {
        match (self.line > limits::EVENT_LINE_MAX, self.event > limits::EVENT_MAX) {
            (true, _) => Err(Flaw::Line),
            (_, true) => Err(Flaw::Event),
            (false, false) => Ok(()),
        }
    }
}

/// How much a stream has brought lately.
#[derive(Clone, Debug)]
pub struct Budget {
    since: Instant,
    wakes: u32,
    bytes: usize,
}

impl Budget {
    /// Of a stream that begins now.
    pub fn new(now: Instant) -> Budget {
        Budget { since: now, wakes: 0, bytes: 0 }
    }

    /// So many bytes have come, and they wake or they do not.
    pub fn spend(&mut self, now: Instant, bytes: usize, wakes: bool) -> Result<(), Flaw> {
        if now.saturating_duration_since(self.since) >= limits::EVENTS_WINDOW {
            *self = Budget::new(now);
        }
        self.wakes = self.wakes.saturating_add(u32::from(wakes));
        self.bytes = self.bytes.saturating_add(bytes);
        if self.wakes > limits::WAKES_MAX || self.bytes > limits::EVENT_BYTES_MAX { Err(Flaw::Flood) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn events(text: &[u8]) -> Result<u32, Flaw> {
        Decoder::default().feed(text)
    }

    #[test]
    fn an_event_is_complete_with_its_blank_line_and_only_if_it_has_data() {
        for (text, count) in [
            ("data: {\"Id\":\"1\"}\n\n", 1),
            ("id: 7\r\ndata: {\r\ndata: }\r\n\r\n", 1),
            ("data:a\r\rdata:b\r\r", 2),
            ("\u{feff}data: a\n\n", 1),
            ("data\n\n", 1),
            ("data: cut off\n", 0),
            (": comment\n\n:\n\n\n\n", 0),
            ("event: x\nid: 1\nretry: 10\n\n", 0),
            ("datum: x\n\ndata2: x\n\n data: x\n\nDATA: x\n\ndat\n\n", 0),
            ("dat: x\ndata: y\n\n", 1),
            ("", 0),
        ] {
            assert_eq!(events(text.as_bytes()), Ok(count), "{text:?}");
        }
    }

    #[test]
    fn what_never_ends_is_no_event() {
        assert_eq!(events(&vec![b'x'; limits::EVENT_LINE_MAX]), Ok(0));
        assert_eq!(events(&vec![b'x'; limits::EVENT_LINE_MAX + 1]), Err(Flaw::Line));
        let lines = "data: 0123456789\n".repeat(limits::EVENT_MAX / 16 + 1);
        assert_eq!(events(lines.as_bytes()), Err(Flaw::Event));
        let small = "data: 0123456789\n\n".repeat(limits::EVENT_MAX / 16 + 1);
        assert!(events(small.as_bytes()).is_ok(), "each event is counted by itself");
    }

    #[test]
    fn a_flood_is_more_than_the_window_takes_and_a_new_window_takes_it_again() {
        let begin = Instant::now();
        let mut budget = Budget::new(begin);
        for _ in 0..limits::WAKES_MAX {
            assert_eq!(budget.spend(begin, 10, true), Ok(()));
        }
        assert_eq!(budget.spend(begin, 10, false), Ok(()));
        assert_eq!(budget.clone().spend(begin, 10, true), Err(Flaw::Flood));
        assert_eq!(budget.spend(begin + limits::EVENTS_WINDOW, 10, true), Ok(()));
        assert_eq!(Budget::new(begin).spend(begin, limits::EVENT_BYTES_MAX + 1, false), Err(Flaw::Flood));
    }

    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        // what a stream is made of, and what it is not
        const WORDS: [&[u8]; 10] = [b"data", b"dat", b":", b" ", b"\n", b"\r", b"id", &MARK, b"\xef", b"\0\xff{"];
        proptest::collection::vec(proptest::sample::select(&WORDS[..]).prop_map(<[u8]>::to_vec), 0..80)
            .prop_map(|words| words.concat())
    }

    /// The specification read plainly, on the whole text at once.
    fn plainly(text: &[u8]) -> u32 {
        let text = text.strip_prefix(&MARK[..]).unwrap_or(text);
        let one = String::from_utf8_lossy(text).replace("\r\n", "\n").replace('\r', "\n");
        // what follows the last line end is no line
        let lines: Vec<&str> = one.split('\n').collect();
        let (mut count, mut data) = (0, false);
        for line in &lines[..lines.len() - 1] {
            match line.split(':').next() {
                _ if line.is_empty() => count += u32::from(std::mem::take(&mut data)),
                Some("data") => data = true,
                _ => {}
            }
        }
        count
    }

    proptest! {
        #[test]
        fn it_reads_as_the_specification_says_however_the_bytes_are_cut(
            text in bytes(),
            cuts in proptest::collection::vec(0usize..200, 0..6),
        ) {
            let whole = events(&text);
            prop_assert_eq!(whole, Ok(plainly(&text)));
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let mut decoder = Decoder::default();
            let pieces: u32 = cuts.windows(2).map(|pair| decoder.feed(&text[pair[0]..pair[1]]).unwrap()).sum();
            prop_assert_eq!(Ok(pieces), whole);
        }

        #[test]
        fn it_is_total(text in proptest::collection::vec(any::<u8>(), 0..4096)) {
            let _ = events(&text);
        }
    }
}
