"""Words, sentences and questions in English and Chinese. Pure: used by retrieval and by the
embedded answerer alike, so that both mean the same by a match."""
