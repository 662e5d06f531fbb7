use super::*;
use crate::timer::block_on;
use futures_lite::future::zip;
use std::io::{PipeReader, Read, pipe};
use std::os::fd::OwnedFd;

fn stream() -> (PipeReader, Arc<Stream>) {
    let (reader, writer) = pipe().expect("a pipe");
    let stream = Stream::new(File::from(OwnedFd::from(writer))).expect("a stream");
    (reader, Arc::new(stream))
}

/// Returns all output until [`Output::close`].
fn written(output: &Output, stream: Arc<Stream>, mut reader: PipeReader) -> String {
    let reading = std::thread::spawn(move || {
        let mut text = String::new();
        reader.read_to_string(&mut text).expect("text");
        text
    });
    output.close();
    block_on(output.write_to(&stream));
    drop(stream);
    reading.join().expect("it is read")
}

#[test]
fn what_is_put_in_line_is_written_in_its_order() {
    let (reader, stream) = stream();
    let output = Output::default();
    let long = "é".repeat(10_000) + "\n";
    for text in ["one\n", &long, "", "three\n"] {
        assert!(output.put(text.to_owned()));
    }
    assert_eq!(
        written(&output, stream, reader),
        format!("one\n{long}three\n")
    );
}

#[test]
fn what_finds_no_room_is_counted_where_it_was_dropped() {
    let (reader, stream) = stream();
    let output = Output::default();
    let line = "a line\n".to_owned();
    let kept = (0..).take_while(|_| output.put(line.clone())).count();
    assert_eq!(kept, MAX_QUEUED / line.len());
    assert!(!output.put("1\n2\n".to_owned()));
    assert!(!output.put(line.clone()));
    let told = output.deliver("an alert\n".to_owned());
    assert!(!output.put(line.clone()));
    assert_eq!(
        written(&output, stream, reader),
        line.repeat(kept)
            + "(4 lines were lost here: nobody read them.)\n"
            + "an alert\n"
            + "(1 line was lost here: nobody read it.)\n"
    );
    assert!(block_on(told));
}

#[test]
fn an_alert_that_is_not_waited_for_any_more_is_not_written() {
    let (reader, stream) = stream();
    let output = Output::default();
    assert!(output.put("before\n".to_owned()));
    drop(output.deliver("an alert\n".to_owned()));
    let again = output.deliver("an alert, later\n".to_owned());
    assert_eq!(
        written(&output, stream, reader),
        "before\nan alert, later\n"
    );
    assert!(block_on(again));
}

#[test]
fn without_a_reader_no_alert_is_delivered_and_nothing_is_tried_for_ever() {
    let (reader, stream) = stream();
    drop(reader);
    let output = Output::default();
    assert!(output.put("an answer\n".to_owned()));
    let told = output.deliver("an alert\n".to_owned());
    output.close();
    let ((), told) = block_on(zip(output.write_to(&stream), told));
    assert!(!told);
    assert_eq!(output.queue.borrow().lost, 1);
}

#[test]
fn files_that_epoll_refuses_are_written_all_the_same() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("log");
    let file = File::create(&path).expect("a file");
    let stream = Arc::new(Stream::new(file).expect("a stream"));
    let output = Output::default();
    assert!(output.put("to a file\n".repeat(1_000)));
    output.close();
    block_on(output.write_to(&stream));
    let text = std::fs::read_to_string(path).expect("text");
    assert_eq!(text, "to a file\n".repeat(1_000));
}
