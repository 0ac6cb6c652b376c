package quotes;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;

import com.rabbitmq.client.impl.CredentialsProvider;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.springframework.amqp.core.Message;
import org.springframework.amqp.core.MessageBuilder;
import org.springframework.amqp.rabbit.annotation.RabbitListener;
import org.springframework.amqp.rabbit.core.RabbitTemplate;
import org.springframework.beans.factory.annotation.Value;
import org.springframework.boot.ApplicationArguments;
import org.springframework.boot.ApplicationRunner;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.amqp.autoconfigure.ConnectionFactoryCustomizer;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Profile;
import org.springframework.stereotype.Component;

/** Quotes with Spring AMQP: the profile `ask` sends a request, `serve` answers them, `replies` reads the answers. */
@SpringBootApplication
public class Quotes {

    static final String REQUESTS = "billing.quotes";
    static final String REPLIES = "shop.quote-replies";
    static final long CONFIRM_MILLISECONDS = 10_000;

    private static final Logger log = LoggerFactory.getLogger(Quotes.class);

    public static void main(String[] arguments) {
        var context = SpringApplication.run(Quotes.class, arguments);
        if (context.getEnvironment().matchesProfiles("ask")) {
            context.close();
        }
    }

    /** Reads the login anew for each connection: Kubernetes renews the files when the Secret changes. */
    @Bean
    ConnectionFactoryCustomizer login(@Value("${SERVICE_BINDING_ROOT}/rabbitmq") Path binding) {
        return factory -> factory.setCredentialsProvider(new CredentialsProvider() {
            @Override
            public String getUsername() {
                return entry(binding, "username");
            }

            @Override
            public String getPassword() {
                return entry(binding, "password");
            }
        });
    }

    private static String entry(Path binding, String name) {
        try {
            return Files.readString(binding.resolve(name));
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }

    /** Returns once the message is safe on the broker. An exchange, never a queue: the default exchange is closed. */
    static void send(RabbitTemplate template, String exchange, Message message) {
        template.invoke(channel -> {
            channel.send(exchange, "", message);
            channel.waitForConfirmsOrDie(CONFIRM_MILLISECONDS);
            return null;
        });
    }

    static MessageBuilder text(String text) {
        return MessageBuilder.withBody(text.getBytes(StandardCharsets.UTF_8));
    }

    @Component
    @Profile("ask")
    record Asking(RabbitTemplate template) implements ApplicationRunner {
        @Override
        public void run(ApplicationArguments arguments) {
            var words = arguments.getNonOptionArgs();
            var request = text(words.get(1)).setCorrelationId(words.get(0)).setReplyTo(REPLIES + "_in").build();
            send(template, REQUESTS + "_in", request);
            log.info("asked {}", words.get(0));
        }
    }

    @Component
    @Profile("serve")
    record Serving(RabbitTemplate template) {
        /** Acknowledged when it returns, so a crash answers twice, never not at all. */
        @RabbitListener(queues = REQUESTS)
        void answer(Message request) {
            var asked = new String(request.getBody(), StandardCharsets.UTF_8);
            var properties = request.getMessageProperties();
            if (properties.getReplyTo() == null) {
                throw new IllegalArgumentException("no reply address");
            }
            var answer = text(asked + " cost " + asked.length() + " euros");
            // Not by a return value: Spring takes a plain reply address for a queue and goes by the default exchange.
            send(template, properties.getReplyTo(), answer.setCorrelationId(properties.getCorrelationId()).build());
        }
    }

    @Component
    @Profile("replies")
    static class Replies {
        @RabbitListener(queues = REPLIES)
        void read(Message reply) {
            var answer = new String(reply.getBody(), StandardCharsets.UTF_8);
            log.info("reply to {}: {}", reply.getMessageProperties().getCorrelationId(), answer);
        }
    }
}
