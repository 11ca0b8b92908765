use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{MOST_READ, Metered, was_too_much};

/// A hostile host that sends whatever, without an end.
#[tokio::test]
async fn a_connection_ends_where_it_sends_more_than_it_may() {
    let (client, mut server) = tokio::io::duplex(4_096);
    let flood = tokio::spawn(async move { while server.write_all(&[7; 4_096]).await.is_ok() {} });
    let mut client = Metered::new(client);
    let (mut read, mut buffer) = (0, [0; 1_000]);
    let error = loop {
        match client.read(&mut buffer).await {
            Ok(count) => read += count,
            Err(error) => break error,
        }
    };
    assert!(was_too_much(&error), "{error}");
    assert!((MOST_READ..MOST_READ + buffer.len()).contains(&read), "{read}");
    drop(client);
    flood.await.unwrap();
}

#[tokio::test]
async fn what_is_sent_to_it_does_not_count() {
    let (client, mut server) = tokio::io::duplex(4_096);
    let reading = tokio::spawn(async move {
        let mut count = 0;
        let mut buffer = [0; 4_096];
        while let Ok(more @ 1..) = server.read(&mut buffer).await {
            count += more;
        }
        count
    });
    let mut client = Metered::new(client);
    client.write_all(&vec![7; MOST_READ + 1]).await.unwrap();
    client.shutdown().await.unwrap();
    assert_eq!(reading.await.unwrap(), MOST_READ + 1);
}
