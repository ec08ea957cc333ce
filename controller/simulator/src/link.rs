//! The way from a controller to an agent that is another process: requests and answers that come late, or never, or to a process that is no
//! more. What left goes on its way whatever becomes of its sender; nothing is sent twice, since the real wire sends nothing twice.

use crate::life::Life;
use async_trait::async_trait;
use contract::agent::{Client, Readopt};
use contract::limits;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;
use vocabulary::request::{AgentError, AgentHello, Answer, Request};
use world::Dice;

/// How a way is at the moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Weather {
    /// A packet takes so long at least.
    pub least: Duration,
    /// And so long at most.
    pub most: Duration,
    /// Of a million requests, or answers, so many never arrive.
    pub lost: u32,
    /// Nothing passes; what is sent is lost.
    pub cut: bool,
}

impl Weather {
    /// A quiet network.
    pub const FAIR: Weather = Weather { least: Duration::from_micros(200), most: Duration::from_millis(2), lost: 0, cut: false };
}

/// A process that answers requests, in whichever life it is; and the way to it.
#[derive(Clone)]
pub struct Way(Arc<Inner>);

struct Inner {
    dice: Dice,
    state: Mutex<State>,
}

struct State {
    weather: Weather,
    process: Option<(Life, Arc<dyn Client>)>,
}

impl Way {
    /// To a process that does not run yet.
    pub fn new(dice: Dice) -> Way {
        Way(Arc::new(Inner { dice, state: Mutex::new(State { weather: Weather::FAIR, process: None }) }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // nothing that holds it can fail in between
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The process runs, in this life.
    pub fn serve(&self, life: Life, client: Arc<dyn Client>) {
        self.state().process = Some((life, client));
    }

    /// Changes the weather.
    pub fn set_weather(&self, weather: Weather) {
        self.state().weather = weather;
    }

    /// One passage. True if what went arrived.
    async fn passes(&self) -> bool {
        let weather = self.state().weather;
        if weather.cut || self.0.dice.in_a_million(weather.lost) {
            return false;
        }
        tokio::time::sleep(self.0.dice.duration(weather.least, weather.most)).await;
        // a cut that came meanwhile takes what is under way with it
        !self.state().weather.cut
    }

    /// A client's side of the way, as the process of this life has it.
    pub fn client(&self, of: Life) -> Arc<dyn Client> {
        Arc::new(End { way: self.clone(), of })
    }
}

/// What is asked of a process.
enum Asked {
    Call(Box<Request>),
    Readopt(Readopt),
}

/// What it answers.
enum Said {
    Call(Result<Answer, AgentError>),
    Readopt(Result<AgentHello, AgentError>),
}

struct End {
    way: Way,
    of: Life,
}

fn silence(wait: Duration) -> AgentError {
    AgentError::Unreachable { reason: format!("no answer within {} ms", wait.as_millis()) }
}

impl End {
    /// Sends, and waits for the answer.
    async fn exchange(&self, asked: Asked, wait: Duration) -> Result<Said, AgentError> {
        self.of.passes().await;
        let (answer, answered) = oneshot::channel();
        let way = self.way.clone();
        // what has left goes on its way, whoever gives up waiting for it
        tokio::spawn(async move {
            if !way.passes().await {
                return;
            }
            let process = way.state().process.clone();
            let Some((life, client)) = process.filter(|(life, _)| life.is_alive()) else {
                // refused at once: nobody listens there
                let _ = answer.send(None);
                return;
            };
            let said = life
                .live(async {
                    match asked {
                        Asked::Call(request) => Said::Call(client.call(*request).await),
                        Asked::Readopt(seed) => Said::Readopt(client.readopt(seed).await),
                    }
                })
                .await;
            if way.passes().await {
                // whoever asked may have gone
                let _ = answer.send(Some(said));
            }
        });
        let arrives = async {
            match answered.await {
                Ok(said) => said,
                // lost on its way: who asked does not know, and waits
                Err(_) => std::future::pending().await,
            }
        };
        let said = match tokio::time::timeout(wait, arrives).await {
            Ok(Some(said)) => Ok(said),
            Ok(None) => Err(AgentError::Unreachable { reason: "connection refused".to_owned() }),
            Err(_) => Err(silence(wait)),
        };
        self.of.passes().await;
        said
    }
}

#[async_trait]
impl Client for End {
    async fn call(&self, request: Request) -> Result<Answer, AgentError> {
        let wait = limits::deadline(&request.action);
        match self.exchange(Asked::Call(Box::new(request)), wait).await? {
            Said::Call(said) => said,
            Said::Readopt(_) => Err(silence(wait)),
        }
    }

    async fn readopt(&self, seed: Readopt) -> Result<AgentHello, AgentError> {
        match self.exchange(Asked::Readopt(seed), limits::READOPT).await? {
            Said::Readopt(said) => said,
            Said::Call(_) => Err(silence(limits::READOPT)),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};
    use tokio::time::Instant;
    use vocabulary::request::Action;

    /// An agent that counts what it was asked.
    #[derive(Default)]
    struct Counter(AtomicU32);

    #[async_trait]
    impl Client for Counter {
        async fn call(&self, _: Request) -> Result<Answer, AgentError> {
            self.0.fetch_add(1, Ordering::Relaxed);
            Ok(Answer::Done)
        }
    }

    struct Bench {
        way: Way,
        agent: Arc<Counter>,
        life: Life,
    }

    fn bench() -> Bench {
        let (way, agent, life) = (Way::new(Dice::of(1, "way")), Arc::new(Counter::default()), Life::default());
        way.serve(life.clone(), agent.clone());
        Bench { way, agent, life }
    }

    async fn ask(bench: &Bench) -> Result<Answer, AgentError> {
        bench.way.client(Life::default()).call(Request { token: None, action: Action::Hello }).await
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_lost_costs_the_whole_wait_and_what_is_refused_costs_nothing() {
        let bench = bench();
        assert_eq!(ask(&bench).await, Ok(Answer::Done));
        bench.way.set_weather(Weather { cut: true, ..Weather::FAIR });
        let begun = Instant::now();
        assert!(matches!(ask(&bench).await, Err(AgentError::Unreachable { .. })));
        assert!(begun.elapsed() >= limits::deadline(&Action::Hello));
        bench.way.set_weather(Weather::FAIR);
        bench.life.kill();
        let begun = Instant::now();
        assert!(matches!(ask(&bench).await, Err(AgentError::Unreachable { .. })));
        assert!(begun.elapsed() < Duration::from_secs(1));
        assert_eq!(bench.agent.0.load(Ordering::Relaxed), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_late_arrives_after_its_sender_has_given_up() {
        let bench = bench();
        let late = Duration::from_secs(600);
        bench.way.set_weather(Weather { least: late, most: late, ..Weather::FAIR });
        assert!(matches!(ask(&bench).await, Err(AgentError::Unreachable { .. })));
        assert_eq!(bench.agent.0.load(Ordering::Relaxed), 0);
        tokio::time::sleep(late).await;
        assert_eq!(bench.agent.0.load(Ordering::Relaxed), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_lost_answer_was_done_all_the_same() {
        let (mut lost, mut done) = (0, 0);
        let bench = bench();
        bench.way.set_weather(Weather { lost: 300_000, ..Weather::FAIR });
        for _ in 0..100 {
            let before = bench.agent.0.load(Ordering::Relaxed);
            match ask(&bench).await {
                Ok(_) => done += 1,
                Err(_) if bench.agent.0.load(Ordering::Relaxed) > before => lost += 1,
                Err(_) => {}
            }
        }
        assert!(done > 30 && lost > 5, "{done} {lost}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_process_that_is_stopped_answers_when_it_goes_on_and_one_that_is_killed_never() {
        let bench = bench();
        bench.life.stop();
        let asked = ask(&bench);
        let go_on = async {
            tokio::time::sleep(Duration::from_secs(2)).await;
            bench.life.go_on();
        };
        assert_eq!(tokio::join!(asked, go_on).0, Ok(Answer::Done));
    }
}
