//! The two questions that a BMC with IPMI answers to everybody: ASF's presence ping, and for those that answer no ping, which ways of
//! logging in it has. Total over any bytes.
//! Must never take a packet for an answer that does not bear the number of the question.

use super::wire;

const APP: u8 = 0x06;
const ANSWER_OF_APP: u8 = 0x07;
const GET_CHANNEL_AUTHENTICATION: u8 = 0x38;
/// The present channel, in the form of IPMI 2.0; privilege level "user".
const ASKED: [u8; 2] = [0x8e, 0x02];
/// Where ASF keeps its message's number.
const TAG_AT: usize = 9;
/// A tag that wants no answer.
const UNANSWERED: u8 = 0xff;

/// The packets that ask. `number` names the question: the answers bear it.
pub fn questions(number: u8) -> [Vec<u8>; 2] {
    let tag = tag(number);
    [wire::ping(tag), wire::bare(&wire::message(sequence(number), APP, GET_CHANNEL_AUTHENTICATION, &ASKED))]
}

/// True for an answer to the questions of this number.
pub fn answers(packet: &[u8], number: u8) -> bool {
    if wire::is_pong(packet) {
        return packet.get(TAG_AT) == Some(&tag(number));
    }
    let answer = wire::read_bare(packet).and_then(wire::read_answer);
    answer.is_some_and(|answer| {
        let asked = (answer.netfn, answer.command) == (ANSWER_OF_APP, GET_CHANNEL_AUTHENTICATION);
        asked && answer.sequence == sequence(number)
    })
}

fn tag(number: u8) -> u8 {
    if number == UNANSWERED { 0 } else { number }
}

fn sequence(number: u8) -> u8 {
    number % wire::SEQUENCES
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// As a BMC answers; the specification's example.
    fn pong(tag: u8) -> Vec<u8> {
        let head = [0x06, 0x00, 0xff, 0x06, 0, 0, 0x11, 0xbe, 0x40, tag, 0, 0x10];
        [head.as_slice(), &[0, 0, 0x11, 0xbe, 0, 0, 0, 0, 0x81, 0], &[0; 6]].concat()
    }

    fn channel(sequence: u8, netfn: u8, command: u8) -> Vec<u8> {
        let message =
            [&[0x81, netfn << 2, 0, 0x20, sequence << 2, command, 0][..], &[0x01, 0x80, 0x04, 0x02, 0, 0, 0, 0], &[0]].concat();
        wire::bare(&message)
    }

    #[test]
    fn only_the_answer_to_the_very_question_counts() {
        assert!(answers(&pong(7), 7) && !answers(&pong(8), 7));
        assert!(answers(&channel(7, 0x07, 0x38), 7) && answers(&channel(7, 0x07, 0x38), 71), "6 bits of it");
        assert!(!answers(&channel(8, 0x07, 0x38), 7), "another number");
        assert!(!answers(&channel(7, 0x07, 0x37), 7) && !answers(&channel(7, 0x06, 0x38), 7), "another command, no answer");
        assert!(questions(7).iter().all(|question| !answers(question, 7)), "an echo is no BMC");
        assert!(answers(&pong(0), 0xff), "0xff would want no answer");
        let mut without_ipmi = pong(7);
        without_ipmi[20] = 0x01;
        assert!(!answers(&without_ipmi, 7));
    }

    proptest! {
        #[test]
        fn any_bytes_are_judged(noise in proptest::collection::vec(any::<u8>(), 0..80), number: u8, class in 6u8..8) {
            let _ = answers(&noise, number);
            let _ = answers(&[&[0x06, 0x00, 0xff, class], noise.as_slice()].concat(), number);
        }

        #[test]
        fn a_pong_that_is_cut_or_bent_is_no_answer_to_another(number: u8, other: u8, at in 0usize..28, bit in 0u8..8) {
            let mut bent = pong(tag(number));
            bent[at] ^= 1 << bit;
            prop_assert!(tag(other) == tag(number) || at == TAG_AT || !answers(&bent, other));
            prop_assert!(!answers(&bent[..at.min(20)], number));
        }
    }
}
