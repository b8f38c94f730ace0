import type { Logger } from "../../common/log.ts";

/** Tells one stream what is due: one message at a time, so that what becomes due meanwhile goes with the next one. */
export interface Speaker {
  /** Something is due. */
  wake(): void;
  /** The stream has ended: nothing more is told. */
  close(): void;
}

export type SpeakerDeps<Message> = {
  /** For the log. */
  readonly node: string;
  /** E.g. "tasks": what is not told where the stream ends. */
  readonly what: string;
  /** Takes what is due as the next messages, possibly none; undefined: nothing is due. */
  readonly next: () => readonly Message[] | undefined;
  /** Resolves when there is room for the next message. */
  readonly say: (message: Message) => Promise<void>;
  readonly log: Logger;
};

export function makeSpeaker<Message>({ node, what, next, say, log }: SpeakerDeps<Message>): Speaker {
  let isSpeaking = false;
  const stream = { isOver: false };
  /** Never rejects. What becomes due in the turn in which it ends wakes it anew. */
  const speak = async (): Promise<void> => {
    try {
      await Promise.resolve(); // much becomes due in one turn
      for (let messages = next(); messages !== undefined && !stream.isOver; messages = next())
        for (const message of messages) if (!stream.isOver) await say(message);
    } catch (err) {
      if (!stream.isOver) log.debug({ err, node }, `${what} not told, the stream has ended`);
    } finally {
      isSpeaking = false;
    }
  };
  return {
    wake: () => {
      if (isSpeaking || stream.isOver) return;
      isSpeaking = true;
      void speak();
    },
    close: () => void (stream.isOver = true),
  };
}
